//! What tools that know nothing of this program find at a public port: that it serves, and what.

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use yizhan_tests::cluster::Cluster;

const POINT: &str = "CN-440000";

#[tokio::test]
async fn a_public_port_says_that_it_serves_and_what() {
    let cluster = Cluster::found(POINT).await;
    let node = cluster.anybody(POINT).await;
    let asked = HealthCheckRequest { service: String::new() };
    let said = HealthClient::new(node.service()).check(asked).await.expect("an answer");
    assert_eq!(said.into_inner().status(), ServingStatus::Serving);

    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(node.service());
    let answers = client.server_reflection_info(tokio_stream::once(list)).await;
    let answer = answers.expect("answers").into_inner().message().await.expect("an answer");
    let Some(MessageResponse::ListServicesResponse(listed)) =
        answer.and_then(|answer| answer.message_response)
    else {
        panic!("no list of services")
    };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "grpc.health.v1.Health",
        "yizhan.v1.NodeService",
        "yizhan.v1.MemberService",
        "yizhan.v1.EventService",
        "yizhan.v1.HelpRequestService",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
}
