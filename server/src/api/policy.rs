//! In front of every service: who is calling, and may they call this RPC at all?
//!
//! Nothing passes that the policy table does not name. How far the caller reaches beyond that is
//! asked again by the use case.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http::header::AUTHORIZATION;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::status::DOMAIN;
use crate::{
    app::{accounts::Accounts, error::Error},
    domain::{
        audit::AccessPurpose,
        id::PointCode,
        policy::{self, Operation},
    },
    identity::{caller::Caller, caller::token_of, peer::Peer},
    outside::Outside,
};

/// Says why somebody calls, for the audit.
const PURPOSE: &str = "yizhan-purpose";

/// How a listener recognises its callers.
#[derive(Clone)]
pub enum Callers {
    /// By session token; without one they are anonymous.
    Sessions { accounts: Box<Accounts>, outside: Outside },
    /// By the certificate that the listener has checked.
    Certificates,
    /// Whoever could open the socket operates the node.
    Operator(PointCode),
}

/// Puts the policy in front of all services of a listener.
pub fn guard(services: Router, callers: Callers) -> Router {
    services.layer(from_fn_with_state(callers, check))
}

async fn check(State(callers): State<Callers>, mut request: Request, next: Next) -> Response {
    let shown = Shown::of(&request);
    match permitted(&callers, request.uri().path().to_owned(), shown).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(status) => status.into_http::<Body>(),
    }
}

/// What a request shows of its caller. Owned, because a request's body cannot be shared.
struct Shown {
    token: Option<String>,
    purpose: Option<String>,
    peer: Option<Peer>,
}

impl Shown {
    fn of(request: &Request) -> Shown {
        let header = request.headers().get(AUTHORIZATION);
        let token = header.and_then(|value| token_of(value.to_str().ok()?));
        let purpose = request.headers().get(PURPOSE).map(|value| value.as_bytes());
        Shown {
            token: token.map(str::to_owned),
            purpose: purpose.map(|text| String::from_utf8_lossy(text).into_owned()),
            peer: request.extensions().get().cloned(),
        }
    }
}

async fn permitted(callers: &Callers, path: String, shown: Shown) -> Result<Caller, Status> {
    let Some(operation) = policy::rpc(&path) else {
        let details = ErrorDetails::with_error_info("UNKNOWN_RPC", DOMAIN, []);
        return Err(Status::with_error_details(Code::Unimplemented, "no such RPC", details));
    };
    let purpose = shown.purpose.as_deref().map(|text| AccessPurpose::parse(text, "purpose"));
    let purpose = purpose.transpose().map_err(|invalid| {
        let known: Vec<&str> = AccessPurpose::ALL.iter().map(|known| known.name()).collect();
        Error::from(invalid.hint(known.join(", ")))
    })?;
    let mut caller = callers.recognise(shown, operation).await?;
    if let Caller::Account { purpose: stated, .. } = &mut caller {
        *stated = purpose;
    }
    caller.may(operation).map_err(Error::from)?;
    Ok(caller)
}

impl Callers {
    async fn recognise(&self, shown: Shown, operation: Operation) -> Result<Caller, Error> {
        match self {
            Callers::Operator(point) => Ok(Caller::Operator { point: point.clone() }),
            Callers::Certificates => Ok(match shown.peer {
                Some(peer) => Caller::Peer { point: peer.point },
                None => Caller::Anonymous,
            }),
            Callers::Sessions { accounts, outside } => {
                let Some(token) = shown.token else { return Ok(Caller::Anonymous) };
                match accounts.caller(&token, outside.now()).await {
                    // Whoever arrives or leaves may hold a token that has ended.
                    Err(Error::Unauthenticated) if operation == Operation::Arrive => {
                        Ok(Caller::Anonymous)
                    }
                    caller => caller,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        app::accounts::NewAccount,
        domain::{policy::Role, time::Time},
        store::database::Database,
    };

    const NOW: Time = Time(1_000_000_000);

    fn outside() -> Outside {
        Outside::new(|| NOW, |bytes| bytes.fill(7))
    }

    fn services(callers: Callers) -> Router {
        guard(Router::new().fallback(any(|| async { "reached" })), callers)
    }

    /// The gRPC code that a call is answered with; 0 if it was let through.
    async fn code(services: &Router, path: &str, authorization: Option<&str>) -> i32 {
        let mut request = Request::post(path);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = services.clone().oneshot(request).await.unwrap();
        response
            .headers()
            .get("grpc-status")
            .map_or(0, |code| code.to_str().unwrap().parse().unwrap())
    }

    #[tokio::test]
    async fn every_rpc_is_open_to_exactly_those_that_the_table_names() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        let accounts = Accounts::new(db, [1; 32]);
        let point: PointCode = "CN-440100".parse().unwrap();
        let operator = Caller::Operator { point: point.clone() };
        let mut callers: Vec<(Role, Option<String>)> = vec![(Role::Client, None)];
        for (n, role) in Role::OF_ACCOUNTS.into_iter().enumerate() {
            let random = [u8::try_from(n).unwrap() + 1; 32];
            let name = role.name().to_owned();
            let password = "long enough".to_owned();
            let new = NewAccount { name, password, role, point: None, member: None };
            accounts.create(&operator, new, NOW, random).await.unwrap();
            let signed =
                accounts.sign_in(role.name(), "long enough", "", NOW, random).await.unwrap();
            callers.push((role, Some(format!("Bearer {}", signed.token.reveal()))));
        }
        let public =
            services(Callers::Sessions { accounts: Box::new(accounts), outside: outside() });
        let local = services(Callers::Operator(point));
        let link = services(Callers::Certificates);
        for &(path, operation) in policy::RPCS {
            let open = |role| policy::reach(role, operation) != policy::Reach::Nothing;
            for (role, authorization) in &callers {
                let code = code(&public, path, authorization.as_deref()).await;
                assert_eq!(code == 0, open(*role), "{path} for {role:?} answered {code}");
            }
            assert_eq!(code(&local, path, None).await == 0, open(Role::Operator), "{path}");
            assert_eq!(code(&link, path, None).await == 0, open(Role::Client), "{path}");
        }
    }

    #[tokio::test]
    async fn a_path_that_the_table_does_not_name_reaches_nobody() {
        let local = services(Callers::Operator("HK".parse().unwrap()));
        for path in ["/", "/yizhan.v1.MemberService/DropAll", "/yizhan.v1.NodeService/GetStatus/"] {
            assert_eq!(code(&local, path, None).await, Code::Unimplemented as i32, "{path}");
        }
    }

    #[tokio::test]
    async fn an_ended_session_is_told_except_to_who_signs_in_or_out() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Database::address_in(dir.path())).await.unwrap();
        let accounts = Accounts::new(db, [1; 32]);
        let public =
            services(Callers::Sessions { accounts: Box::new(accounts), outside: outside() });
        let ended = Some("Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let list = "/yizhan.v1.PointService/ListPoints";
        assert_eq!(code(&public, list, ended).await, Code::Unauthenticated as i32);
        assert_eq!(code(&public, list, None).await, 0);
        assert_eq!(code(&public, "/yizhan.v1.AccountService/SignIn", ended).await, 0);
        assert_eq!(code(&public, "/yizhan.v1.AccountService/SignOut", ended).await, 0);
    }
}
