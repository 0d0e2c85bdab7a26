//! Pages from elsewhere: a browser may ask for help from any page, and for nothing else.
//!
//! The help service knows no sessions, so nothing that a browser holds can be misused by a page that
//! asks in its name, and the header that carries a session is not let in. Every other service answers
//! pages of its own origin only.

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, HeaderName, ORIGIN, VARY,
    },
};

/// What pages from anywhere may call.
const OPEN: &str = "/yizhan.v1.HelpRequestService/";
/// What gRPC-Web clients send; a session's token is not among it.
const SENT: HeaderValue =
    HeaderValue::from_static("content-type, x-grpc-web, x-user-agent, grpc-timeout");
/// What a refusal is read from.
const SHOWN: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin");
/// Seconds that a browser remembers the answer.
const REMEMBERED: HeaderValue = HeaderValue::from_static("7200");

/// In front of everything that browsers reach.
pub fn cross_origin(services: Router) -> Router {
    services.layer(from_fn(pass))
}

async fn pass(request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(ORIGIN) else { return next.run(request).await };
    let is_open = request.uri().path().starts_with(OPEN);
    if request.method() == Method::OPTIONS {
        return preflight(is_open);
    }
    if !is_open && !is_own(origin, &request) {
        return empty(StatusCode::FORBIDDEN);
    }
    let mut response = next.run(request).await;
    if is_open {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
    response
}

/// What a browser asks before it lets a page call.
fn preflight(is_open: bool) -> Response {
    let mut response = empty(if is_open { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN });
    if is_open {
        let allowed: [(HeaderName, HeaderValue); 5] = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST")),
            (ACCESS_CONTROL_ALLOW_HEADERS, SENT),
            (ACCESS_CONTROL_MAX_AGE, REMEMBERED),
            (VARY, HeaderValue::from_static("access-control-request-headers")),
        ];
        response.headers_mut().extend(allowed);
    }
    response
}

/// Does a page come from where it calls? HTTP/2 names that in the address, HTTP/1 in a header.
fn is_own(origin: &HeaderValue, request: &Request) -> bool {
    let called = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let called = called.or_else(|| request.headers().get(HOST).map(HeaderValue::as_bytes));
    let page = origin.as_bytes().strip_prefix(b"https://");
    page.is_some_and(|page| called.is_some_and(|called| page.eq_ignore_ascii_case(called)))
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    async fn call(method: Method, path: &str, origin: Option<&str>) -> Response {
        let services = cross_origin(Router::new().fallback(any(|| async { "reached" })));
        let mut request = Request::builder().method(method).uri(path).header(HOST, "gd.example");
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        services.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    const HELP: &str = "/yizhan.v1.HelpRequestService/SubmitHelpRequest";
    const MEMBERS: &str = "/yizhan.v1.MemberService/SearchMembers";

    #[tokio::test]
    async fn any_page_may_ask_for_help() {
        let asked = call(Method::OPTIONS, HELP, Some("https://page.example")).await;
        assert_eq!(asked.status(), StatusCode::NO_CONTENT);
        assert_eq!(asked.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let sent = asked.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert!(sent.contains("content-type") && !sent.contains("authorization"));
        let answer = call(Method::POST, HELP, Some("https://page.example")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }

    #[tokio::test]
    async fn a_page_from_elsewhere_gets_nothing_else() {
        for origin in ["https://page.example", "http://gd.example", "null", "https://gd.example.io"]
        {
            let asked = call(Method::OPTIONS, MEMBERS, Some(origin)).await;
            assert_eq!(asked.status(), StatusCode::FORBIDDEN);
            assert!(!asked.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
            let answer = call(Method::POST, MEMBERS, Some(origin)).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
        }
    }

    #[tokio::test]
    async fn the_own_page_and_programs_are_not_asked() {
        for origin in [Some("https://gd.example"), None] {
            assert_eq!(call(Method::POST, MEMBERS, origin).await.status(), StatusCode::OK);
        }
    }
}
