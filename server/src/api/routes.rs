//! Which services each listener offers.

use axum::Router;
use tonic::service::Routes;
use yizhan_proto::v1::control_service_server::ControlServiceServer;

use super::control::ControlApi;
use crate::app::App;

/// Clients over TLS.
pub fn public(app: &App) -> Router {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(yizhan_proto::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("BUG: the descriptors are compiled in");
    super::records::add_to(Routes::new(reflection), app).prepare().into_axum_router()
}

/// The operator, on the local socket.
pub fn local(_app: &App, control: ControlApi) -> Router {
    Routes::new(ControlServiceServer::new(control)).prepare().into_axum_router()
}
