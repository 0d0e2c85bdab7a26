//! Which services each listener offers, behind the policy.

use axum::Router;
use tonic::service::Routes;
use yizhan_proto::v1::{
    account_service_server::AccountServiceServer, approval_service_server::ApprovalServiceServer,
    control_service_server::ControlServiceServer, node_service_server::NodeServiceServer,
    peer_service_server::PeerServiceServer,
};

use super::{
    accounts::AccountApi,
    approvals::ApprovalApi,
    control::ControlApi,
    cross_origin::cross_origin,
    nodes::NodeApi,
    peers::PeerApi,
    policy::{Callers, guard},
    records::limited,
    shelter::{Shelter, shelter},
};
use crate::{app::App, identity::spki::Fingerprint};

/// Clients over TLS. Join tokens that they are given name the network's `authority`.
pub fn public(app: &App, authority: Fingerprint) -> Router {
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(yizhan_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection = described().build_v1().expect("BUG: the descriptors are compiled in");
    // What older tools ask for.
    let before = described().build_v1alpha().expect("BUG: the descriptors are compiled in");
    // Serving until it is gone: a listener that drains refuses connections by itself.
    let (_, health) = tonic_health::server::health_reporter();
    let routes = Routes::new(accounts(app))
        .add_service(limited!(NodeServiceServer::new(NodeApi { app: app.clone() })))
        .add_service(limited!(PeerServiceServer::new(PeerApi { app: app.clone(), authority })))
        .add_service(health)
        .add_service(reflection)
        .add_service(before);
    let callers = Callers::Sessions {
        accounts: Box::new(app.accounts.clone()),
        outside: app.outside.clone(),
    };
    let routes = super::records::add_to(routes, app);
    let routes = shelter(routes.prepare().into_axum_router(), Shelter::new(app.outside.clone()));
    // Browsers speak gRPC-Web; what is behind sees plain gRPC.
    cross_origin(guard(routes, callers).layer(tonic_web::GrpcWebLayer::new()))
}

/// The operator, on the local socket.
pub fn local(app: &App, control: ControlApi) -> Router {
    let routes = Routes::new(ControlServiceServer::new(control))
        .add_service(accounts(app))
        .add_service(ApprovalServiceServer::new(ApprovalApi { app: app.clone() }))
        .add_service(NodeServiceServer::new(NodeApi { app: app.clone() }));
    guard(routes.prepare().into_axum_router(), Callers::Operator(app.keys.point.clone()))
}

fn accounts(app: &App) -> AccountServiceServer<AccountApi> {
    let (accounts, outside) = (app.accounts.clone(), app.outside.clone());
    limited!(AccountServiceServer::new(AccountApi { app: app.clone(), accounts, outside }))
}
