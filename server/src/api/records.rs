//! The services over records, for whichever listener offers them.

use tonic::service::Routes;
use yizhan_proto::v1::{
    approval_service_server::ApprovalServiceServer, audit_service_server::AuditServiceServer,
    desk_service_server::DeskServiceServer, event_service_server::EventServiceServer,
    export_service_server::ExportServiceServer, group_service_server::GroupServiceServer,
    handoff_service_server::HandoffServiceServer,
    help_request_service_server::HelpRequestServiceServer,
    import_service_server::ImportServiceServer, member_service_server::MemberServiceServer,
    move_service_server::MoveServiceServer, notice_service_server::NoticeServiceServer,
    org_service_server::OrgServiceServer, point_service_server::PointServiceServer,
    report_service_server::ReportServiceServer, series_service_server::SeriesServiceServer,
    transfer_service_server::TransferServiceServer,
};

use super::{
    approvals::ApprovalApi, audit::AuditApi, desk::DeskApi, events::EventApi, exports::ExportApi,
    groups::GroupApi, handoffs::HandoffApi, help_requests::HelpRequestApi, imports::ImportApi,
    members::MemberApi, moves::MoveApi, notices::NoticeApi, orgs::OrgApi, points::PointApi,
    reports::ReportApi, series::SeriesApi, transfers::TransferApi,
};
use crate::app::App;

/// No call of a person needs more at once: records are smaller, and files come in parts.
pub const MESSAGE_MAX: usize = 256 * 1_024;

/// A service that takes no larger messages.
macro_rules! limited {
    ($service:expr) => {
        $service.max_decoding_message_size($crate::api::records::MESSAGE_MAX)
    };
}
pub(super) use limited;

/// Adds everything about records, and the audit, to what a listener offers.
pub fn add_to(routes: Routes, app: &App) -> Routes {
    routes
        .add_service(limited!(ApprovalServiceServer::new(ApprovalApi { app: app.clone() })))
        .add_service(limited!(AuditServiceServer::new(AuditApi { app: app.clone() })))
        .add_service(limited!(PointServiceServer::new(PointApi { app: app.clone() })))
        .add_service(limited!(MemberServiceServer::new(MemberApi { app: app.clone() })))
        .add_service(limited!(EventServiceServer::new(EventApi { app: app.clone() })))
        .add_service(limited!(SeriesServiceServer::new(SeriesApi { app: app.clone() })))
        .add_service(limited!(GroupServiceServer::new(GroupApi { app: app.clone() })))
        .add_service(limited!(OrgServiceServer::new(OrgApi { app: app.clone() })))
        .add_service(limited!(HelpRequestServiceServer::new(HelpRequestApi { app: app.clone() })))
        .add_service(limited!(DeskServiceServer::new(DeskApi { app: app.clone() })))
        .add_service(limited!(HandoffServiceServer::new(HandoffApi { app: app.clone() })))
        .add_service(limited!(NoticeServiceServer::new(NoticeApi { app: app.clone() })))
        .add_service(limited!(MoveServiceServer::new(MoveApi { app: app.clone() })))
        .add_service(limited!(TransferServiceServer::new(TransferApi { app: app.clone() })))
        .add_service(limited!(ReportServiceServer::new(ReportApi { app: app.clone() })))
        .add_service(limited!(ExportServiceServer::new(ExportApi { app: app.clone() })))
        .add_service(limited!(ImportServiceServer::new(ImportApi { app: app.clone() })))
}
