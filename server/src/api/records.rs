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

/// Adds everything about records, and the audit, to what a listener offers.
pub fn add_to(routes: Routes, app: &App) -> Routes {
    routes
        .add_service(ApprovalServiceServer::new(ApprovalApi { app: app.clone() }))
        .add_service(AuditServiceServer::new(AuditApi { app: app.clone() }))
        .add_service(PointServiceServer::new(PointApi { app: app.clone() }))
        .add_service(MemberServiceServer::new(MemberApi { app: app.clone() }))
        .add_service(EventServiceServer::new(EventApi { app: app.clone() }))
        .add_service(SeriesServiceServer::new(SeriesApi { app: app.clone() }))
        .add_service(GroupServiceServer::new(GroupApi { app: app.clone() }))
        .add_service(OrgServiceServer::new(OrgApi { app: app.clone() }))
        .add_service(HelpRequestServiceServer::new(HelpRequestApi { app: app.clone() }))
        .add_service(DeskServiceServer::new(DeskApi { app: app.clone() }))
        .add_service(HandoffServiceServer::new(HandoffApi { app: app.clone() }))
        .add_service(NoticeServiceServer::new(NoticeApi { app: app.clone() }))
        .add_service(MoveServiceServer::new(MoveApi { app: app.clone() }))
        .add_service(TransferServiceServer::new(TransferApi { app: app.clone() }))
        .add_service(ReportServiceServer::new(ReportApi { app: app.clone() }))
        .add_service(ExportServiceServer::new(ExportApi { app: app.clone() }))
        .add_service(ImportServiceServer::new(ImportApi { app: app.clone() }))
}
