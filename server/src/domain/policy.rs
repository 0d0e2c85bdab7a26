//! Who may do what: the whole policy, as one table.
//!
//! Every RPC names one operation here, and every role says for each operation how far it reaches.
//! What is not named is refused. A test prints the table and compares it with `policy.txt`, so that
//! a change of policy shows up in review; another proves that every RPC of the contract is named.

use super::text::Invalid;

/// What somebody is to this node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// No account: anybody.
    Client,
    /// An account tied to one member record.
    Member,
    /// A volunteer helper or expert: sees what is assigned.
    Volunteer,
    /// Works the home point's records.
    Staff,
    /// Staff, and the point's accounts and settings.
    PointAdmin,
    /// The network's directory and reports; no home-class data of other points.
    ProvincialAdmin,
    /// Reads audit, policy and receipts; changes nothing.
    Auditor,
    /// Another node, by its certificate.
    Peer,
    /// Whoever can open the node's local socket.
    Operator,
}

impl Role {
    pub const ALL: [Role; 9] = [
        Role::Client,
        Role::Member,
        Role::Volunteer,
        Role::Staff,
        Role::PointAdmin,
        Role::ProvincialAdmin,
        Role::Auditor,
        Role::Peer,
        Role::Operator,
    ];

    /// The roles that an account can have.
    pub const OF_ACCOUNTS: [Role; 6] = [
        Role::Member,
        Role::Volunteer,
        Role::Staff,
        Role::PointAdmin,
        Role::ProvincialAdmin,
        Role::Auditor,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Member => "member",
            Role::Volunteer => "volunteer",
            Role::Staff => "staff",
            Role::PointAdmin => "point_admin",
            Role::ProvincialAdmin => "provincial_admin",
            Role::Auditor => "auditor",
            Role::Peer => "peer",
            Role::Operator => "operator",
        }
    }

    /// Reads the name of a role that an account can have.
    pub fn of_account(name: &str, field: &str) -> Result<Role, Invalid> {
        Role::OF_ACCOUNTS.into_iter().find(|role| role.name() == name).ok_or_else(|| {
            Invalid::new(field, "unknown_role").hint(Role::OF_ACCOUNTS.map(Role::name).join(", "))
        })
    }
}

/// How far a role reaches with an operation. Every reach but `Nothing` includes what is public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reach {
    /// Refused.
    Nothing,
    /// What anybody may see.
    Public,
    /// The caller's own account, record or secret.
    Own,
    /// What was assigned to the caller.
    Assigned,
    /// Records of the caller's point, and of the points that it hosts.
    OwnPoint,
    /// `OwnPoint`, and what other homes disclosed to points.
    Network,
    Everything,
}

impl Reach {
    pub fn name(self) -> &'static str {
        match self {
            Reach::Nothing => "-",
            Reach::Public => "public",
            Reach::Own => "own",
            Reach::Assigned => "assigned",
            Reach::OwnPoint => "point",
            Reach::Network => "network",
            Reach::Everything => "all",
        }
    }
}

/// Declares the operations once, for the type and for the list of all.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Something that needs a permission.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Operation {
            $($(#[$doc])* $name,)+
        }

        impl Operation {
            pub const ALL: &[Operation] = &[$(Operation::$name,)+];

            /// As the audit names it: `read_card`.
            pub fn name(self) -> String {
                let mut name = String::new();
                for letter in format!("{self:?}").chars() {
                    if letter.is_ascii_uppercase() && !name.is_empty() {
                        name.push('_');
                    }
                    name.push(letter.to_ascii_lowercase());
                }
                name
            }
        }
    };
}

operations!(
    /// Sign in and out; ask who one is; learn what the server offers and that it lives.
    Arrive,
    /// Change a password.
    ChangePassword,
    /// List, add and disable accounts; change their roles.
    ManageAccounts,
    /// Who has an account here, and with which roles.
    ReadAccounts,
    /// See what waits for a second person, and agree to it.
    GiveApproval,
    /// Give an account the role of a provincial admin.
    GrantProvincialAdmin,
    /// See feeds, links and parcels of this node.
    ReadStatus,
    ReadDirectory,
    /// Add a point to the directory, or close one.
    OpenPoint,
    /// Ask for another entry of a point; it takes effect as far as the caller may say so.
    ProposePoint,
    /// Change hours, closures and services of a point.
    EditPoint,
    /// Say whom a point serves: the province's word.
    ApproveAreas,
    /// Read what a point tells other points' staff, and at one's own point what only that knows.
    ReadPointDetail,
    /// Find and read cards: what members disclosed.
    ReadCard,
    /// Read what only the home point knows of a member.
    ReadMember,
    CreateMember,
    EditMember,
    GiveConsent,
    /// Read which consents a member has given and taken back.
    ReadGrants,
    EraseMember,
    /// Everything that is held about a member, in one document.
    AccessMember,
    /// Which points hold a copy of a member's record, with receipts.
    ReadCopies,
    /// Send a copy of a card to one destination.
    TransferMember,
    /// Ask for, offer, accept, decline and take back a move to another point.
    MoveMember,
    ReadEvent,
    /// Make a draft, and change an event without moving it on.
    EditEvent,
    /// Publish, reschedule, postpone, cancel and hold.
    PublishEvent,
    CreateSeries,
    /// Read what an organisation reports to points.
    ReadOrgDetail,
    EditOrg,
    /// See groups and who is in them.
    ReadGroup,
    /// Plan and move a group; put members of the point into groups.
    EditGroup,
    /// Ask for help, and see what can be asked for.
    SubmitHelpRequest,
    /// Look up, answer and take back a help request by its code.
    TrackHelpRequest,
    /// See a desk's queue and open its requests.
    ReadHelpRequest,
    /// Answer clients, write notes and resolve.
    ReplyHelpRequest,
    /// Take a request or give it to somebody.
    AssignHelpRequest,
    /// Triage, redirect, merge and reopen.
    WorkHelpRequest,
    /// Counts of desks; small ones of others are not told.
    ReadDeskFigures,
    /// Hold past requests against a draft of areas and hours.
    SimulateRoutes,
    /// Offer, take back, accept and decline handoffs of help requests.
    OfferHandoff,
    /// Pass a request on without asking its client.
    OverrideConsent,
    /// Open a request that one does not handle, with a second person.
    BreakGlass,
    /// Set where one is told that there is news.
    ReceiveNotices,
    /// Figures counted from what the caller may read.
    ReadReport,
    /// Have the homes themselves asked for what is newest.
    AskHomes,
    /// See what an import would do.
    TryImport,
    /// Import for good. Each row also needs the operation of its kind.
    Import,
    /// Take records out as a table: those that the caller may see.
    Export,
    /// The same of members.
    ExportMembers,
    /// Who wrote what and who looked at whom: the own record's lines, the own acts, or all.
    ReadAudit,
    /// Check the audit's chain.
    VerifyAudit,
    /// Turn a join token into a certificate, and renew it.
    Enrol,
    /// Exchange feeds and parcels.
    OpenLink,
    /// Make a join token.
    AdmitPoint,
    RevokePoint,
    /// Who is in the network and who was put out.
    ReadPeers,
    /// Declare on what basis a point may have what others disclose.
    DeclareBasis,
    /// Check and back up the whole node.
    KeepNode,
);

/// How far `role` reaches with `operation`.
pub fn reach(role: Role, operation: Operation) -> Reach {
    use {Operation::*, Reach::*, Role::*};
    match (operation, role) {
        (Arrive | Enrol, _) => Everything,

        (ChangePassword, PointAdmin) => OwnPoint,
        (ChangePassword, Member | Volunteer | Staff | ProvincialAdmin | Auditor) => Own,
        (ManageAccounts, PointAdmin) => OwnPoint,
        (ReadAccounts, PointAdmin | Auditor) => OwnPoint,
        (GrantProvincialAdmin, PointAdmin | ProvincialAdmin) => OwnPoint,
        (GiveApproval, Staff | PointAdmin | ProvincialAdmin) => OwnPoint,
        (
            ChangePassword | ManageAccounts | ReadAccounts | GrantProvincialAdmin | GiveApproval,
            Operator,
        ) => Everything,

        (ReadStatus, Client | Member | Volunteer) => Public,
        (ReadStatus, Staff | PointAdmin | ProvincialAdmin | Auditor | Operator) => Everything,

        (ReadDirectory, _) => Everything,
        (OpenPoint, ProvincialAdmin) => Everything,
        (OpenPoint, PointAdmin) => OwnPoint,
        (ProposePoint, Staff | PointAdmin | ProvincialAdmin) => OwnPoint,
        (EditPoint, PointAdmin) => OwnPoint,
        (ApproveAreas, ProvincialAdmin) => OwnPoint,
        (ReadPointDetail, Staff | PointAdmin | ProvincialAdmin) => Network,

        (ReadCard, Client | Member | Volunteer | Auditor) => Public,
        (ReadCard, Staff | PointAdmin | ProvincialAdmin) => Network,
        (ReadMember | EditMember | GiveConsent | EraseMember | AccessMember, Member) => Own,
        (
            ReadMember | EditMember | GiveConsent | EraseMember | AccessMember,
            Staff | PointAdmin,
        ) => OwnPoint,
        (CreateMember, Staff | PointAdmin) => OwnPoint,
        (TransferMember | MoveMember, Member) => Own,
        (TransferMember | MoveMember, Staff | PointAdmin) => OwnPoint,
        (ReadCopies | ReadGrants, Member) => Own,
        (ReadCopies | ReadGrants, Staff | PointAdmin) => OwnPoint,
        (ReadCopies | ReadGrants, Auditor) => Everything,

        (ReadEvent, Staff | PointAdmin) => OwnPoint,
        (ReadEvent, Client | Member | Volunteer | ProvincialAdmin | Auditor | Peer) => Public,
        (EditEvent | PublishEvent, Staff | PointAdmin | ProvincialAdmin) => OwnPoint,
        (CreateSeries, PointAdmin | ProvincialAdmin) => OwnPoint,

        (ReadOrgDetail | ReadGroup, Staff | PointAdmin | ProvincialAdmin) => Network,
        (ReadOrgDetail | ReadGroup, Member | Volunteer | Auditor) => Public,
        (EditOrg | EditGroup, Staff | PointAdmin | ProvincialAdmin) => OwnPoint,
        (SubmitHelpRequest, _) => Everything,
        (TrackHelpRequest, _) => Own,
        (ReadHelpRequest | ReplyHelpRequest, Volunteer) => Assigned,
        (
            ReadHelpRequest | ReplyHelpRequest | AssignHelpRequest | WorkHelpRequest,
            Staff | PointAdmin,
        ) => OwnPoint,
        // Finds nothing, and is answered like anybody who asks for what is not there.
        (ReadHelpRequest, ProvincialAdmin | Auditor) => Public,
        (ReadDeskFigures, ProvincialAdmin | Auditor) => Everything,
        (ReadDeskFigures | SimulateRoutes, Staff | PointAdmin) => OwnPoint,
        (SimulateRoutes, ProvincialAdmin) => OwnPoint,
        (ReadReport, Staff | PointAdmin | ProvincialAdmin) => Network,
        (ReadReport, Client | Member | Volunteer | Auditor) => Public,

        (AskHomes, Member | Volunteer | Staff | PointAdmin | ProvincialAdmin | Auditor) => {
            Everything
        }

        (OfferHandoff, Staff | PointAdmin) => OwnPoint,
        (OverrideConsent, PointAdmin) => OwnPoint,
        (BreakGlass, PointAdmin | ProvincialAdmin) => OwnPoint,
        (ReceiveNotices, Volunteer | Staff | PointAdmin | ProvincialAdmin) => Own,

        (TryImport, Staff | PointAdmin | ProvincialAdmin) => OwnPoint,
        (Import, PointAdmin | ProvincialAdmin) => OwnPoint,

        (Export | ExportMembers, Member) => Own,
        (Export, Staff | PointAdmin | ProvincialAdmin) => Network,
        // The province counts people in reports, and takes no list of them along.
        (ExportMembers, Staff | PointAdmin) => Network,

        (ReadAudit, Member | Staff) => Own,
        (ReadAudit, PointAdmin) => OwnPoint,
        (ReadAudit, ProvincialAdmin | Auditor | Operator) => Everything,
        (VerifyAudit, PointAdmin | ProvincialAdmin | Auditor | Operator) => Everything,

        (OpenLink, Peer) => Everything,
        // A point proposes; the province agrees.
        (AdmitPoint | RevokePoint, PointAdmin | ProvincialAdmin) => OwnPoint,
        (ReadPeers, PointAdmin | ProvincialAdmin | Auditor) => Everything,
        (AdmitPoint | RevokePoint | DeclareBasis | KeepNode, Operator) => Everything,

        // Named, so that a new operation does not compile until somebody decides about it.
        (
            ChangePassword | ManageAccounts | ReadAccounts | GrantProvincialAdmin | GiveApproval
            | ReadStatus | OpenPoint | ProposePoint | EditPoint | ApproveAreas | ReadPointDetail
            | ReadCard | ReadMember | CreateMember | EditMember | GiveConsent | EraseMember
            | AccessMember | ReadCopies | ReadGrants | ReadEvent | EditEvent | PublishEvent
            | CreateSeries | ReadOrgDetail | EditOrg | ReadGroup | EditGroup | ReadReport
            | AskHomes | TryImport | Import | Export | ExportMembers | ReadAudit | VerifyAudit
            | OpenLink | TransferMember | MoveMember | DeclareBasis | AdmitPoint | RevokePoint
            | ReadPeers | KeepNode | ReadHelpRequest | ReplyHelpRequest | AssignHelpRequest
            | WorkHelpRequest | ReadDeskFigures | SimulateRoutes | OfferHandoff | OverrideConsent
            | BreakGlass | ReceiveNotices,
            _,
        ) => Nothing,
    }
}

/// How many persons it takes: two, where one of them alone could harm somebody who cannot object.
pub fn persons(role: Role, operation: Operation) -> u8 {
    use {Operation::*, Role::*};
    match (operation, role) {
        (EraseMember | AccessMember, Staff | PointAdmin) => 2,
        (
            GrantProvincialAdmin | BreakGlass | AdmitPoint | RevokePoint,
            PointAdmin | ProvincialAdmin,
        ) => 2,
        (OverrideConsent, PointAdmin) => 2,
        _ => 1,
    }
}

/// Every RPC that a node serves, and the operation whose reach its caller must have. Where the
/// answer depends on how far the caller reaches, the use case asks again for the finer operation.
pub const RPCS: &[(&str, Operation)] = &[
    ("/yizhan.v1.AccountService/SignIn", Operation::Arrive),
    ("/yizhan.v1.AccountService/SignOut", Operation::Arrive),
    ("/yizhan.v1.AccountService/GetCaller", Operation::Arrive),
    ("/yizhan.v1.AccountService/CreateUser", Operation::ManageAccounts),
    ("/yizhan.v1.AccountService/ListUsers", Operation::ReadAccounts),
    ("/yizhan.v1.AccountService/DisableUser", Operation::ManageAccounts),
    ("/yizhan.v1.AccountService/SetPassword", Operation::ChangePassword),
    ("/yizhan.v1.AccountService/ConfirmUser", Operation::ManageAccounts),
    ("/yizhan.v1.AccountService/SetRole", Operation::GrantProvincialAdmin),
    ("/yizhan.v1.AccountService/SetOtp", Operation::ChangePassword),
    ("/yizhan.v1.ApprovalService/ListApprovals", Operation::GiveApproval),
    ("/yizhan.v1.ApprovalService/GiveApproval", Operation::GiveApproval),
    ("/yizhan.v1.PeerService/AdmitPeer", Operation::AdmitPoint),
    ("/yizhan.v1.PeerService/RevokePeer", Operation::RevokePoint),
    ("/yizhan.v1.PeerService/ListPeers", Operation::ReadPeers),
    ("/yizhan.v1.NodeService/GetStatus", Operation::ReadStatus),
    ("/yizhan.v1.PointService/ListPoints", Operation::ReadDirectory),
    ("/yizhan.v1.PointService/GetPoint", Operation::ReadDirectory),
    ("/yizhan.v1.PointService/CreatePoint", Operation::OpenPoint),
    ("/yizhan.v1.PointService/UpdatePoint", Operation::ProposePoint),
    ("/yizhan.v1.PointService/ClosePoint", Operation::OpenPoint),
    ("/yizhan.v1.MemberService/CreateMember", Operation::CreateMember),
    ("/yizhan.v1.MemberService/GetMember", Operation::ReadCard),
    ("/yizhan.v1.MemberService/UpdateMember", Operation::EditMember),
    ("/yizhan.v1.MemberService/SearchMembers", Operation::ReadCard),
    ("/yizhan.v1.MemberService/LeaveMember", Operation::EditMember),
    ("/yizhan.v1.MemberService/GiveConsent", Operation::GiveConsent),
    ("/yizhan.v1.MemberService/WithdrawConsent", Operation::GiveConsent),
    ("/yizhan.v1.MemberService/ListGrants", Operation::ReadGrants),
    ("/yizhan.v1.MemberService/EraseMember", Operation::EraseMember),
    ("/yizhan.v1.MemberService/AccessMember", Operation::AccessMember),
    ("/yizhan.v1.MemberService/ListMemberCopies", Operation::ReadCopies),
    ("/yizhan.v1.TransferService/TransferMember", Operation::TransferMember),
    ("/yizhan.v1.MoveService/MoveMember", Operation::MoveMember),
    ("/yizhan.v1.MoveService/AcceptMove", Operation::MoveMember),
    ("/yizhan.v1.MoveService/DeclineMove", Operation::MoveMember),
    ("/yizhan.v1.MoveService/RecallMove", Operation::MoveMember),
    ("/yizhan.v1.MoveService/ListMoves", Operation::MoveMember),
    ("/yizhan.v1.EventService/CreateEvent", Operation::EditEvent),
    ("/yizhan.v1.EventService/GetEvent", Operation::ReadEvent),
    ("/yizhan.v1.EventService/ListEvents", Operation::ReadEvent),
    ("/yizhan.v1.EventService/UpdateEvent", Operation::EditEvent),
    ("/yizhan.v1.EventService/PublishEvent", Operation::PublishEvent),
    ("/yizhan.v1.EventService/RescheduleEvent", Operation::PublishEvent),
    ("/yizhan.v1.EventService/PostponeEvent", Operation::PublishEvent),
    ("/yizhan.v1.EventService/CancelEvent", Operation::PublishEvent),
    ("/yizhan.v1.EventService/HoldEvent", Operation::PublishEvent),
    ("/yizhan.v1.SeriesService/CreateSeries", Operation::CreateSeries),
    ("/yizhan.v1.SeriesService/GetSeries", Operation::ReadDirectory),
    ("/yizhan.v1.SeriesService/ListSeries", Operation::ReadDirectory),
    ("/yizhan.v1.OrgService/ListOrgs", Operation::ReadDirectory),
    ("/yizhan.v1.OrgService/GetOrg", Operation::ReadDirectory),
    ("/yizhan.v1.OrgService/CreateOrg", Operation::EditOrg),
    ("/yizhan.v1.OrgService/UpdateOrg", Operation::EditOrg),
    ("/yizhan.v1.GroupService/CreateGroup", Operation::EditGroup),
    ("/yizhan.v1.GroupService/GetGroup", Operation::ReadGroup),
    ("/yizhan.v1.GroupService/ListGroups", Operation::ReadGroup),
    ("/yizhan.v1.GroupService/MoveGroup", Operation::EditGroup),
    ("/yizhan.v1.GroupService/EnrolGroupMember", Operation::EditGroup),
    ("/yizhan.v1.GroupService/MoveGroupMember", Operation::EditGroup),
    ("/yizhan.v1.GroupService/ListGroupMembers", Operation::ReadGroup),
    ("/yizhan.v1.GroupService/SetGroupDuty", Operation::EditGroup),
    ("/yizhan.v1.GroupService/ListGroupDuty", Operation::ReadGroup),
    ("/yizhan.v1.HelpRequestService/SubmitHelpRequest", Operation::SubmitHelpRequest),
    ("/yizhan.v1.HelpRequestService/UploadAttachment", Operation::SubmitHelpRequest),
    ("/yizhan.v1.HelpRequestService/TrackHelpRequest", Operation::TrackHelpRequest),
    ("/yizhan.v1.HelpRequestService/ReplyToHelpRequest", Operation::TrackHelpRequest),
    ("/yizhan.v1.HelpRequestService/WithdrawHelpRequest", Operation::TrackHelpRequest),
    ("/yizhan.v1.HelpRequestService/RateHelpRequest", Operation::TrackHelpRequest),
    ("/yizhan.v1.HelpRequestService/ConsentHelpRequest", Operation::TrackHelpRequest),
    ("/yizhan.v1.HelpRequestService/SetHelpNotices", Operation::TrackHelpRequest),
    ("/yizhan.v1.HelpRequestService/ListHelpCategories", Operation::SubmitHelpRequest),
    ("/yizhan.v1.DeskService/ListDeskRequests", Operation::ReadHelpRequest),
    ("/yizhan.v1.DeskService/GetDeskRequest", Operation::ReadHelpRequest),
    ("/yizhan.v1.DeskService/BreakGlassDeskRequest", Operation::BreakGlass),
    ("/yizhan.v1.DeskService/GetDeskAttachment", Operation::ReadHelpRequest),
    ("/yizhan.v1.DeskService/TriageDeskRequest", Operation::WorkHelpRequest),
    ("/yizhan.v1.DeskService/AssignDeskRequest", Operation::AssignHelpRequest),
    ("/yizhan.v1.DeskService/ReplyDeskRequest", Operation::ReplyHelpRequest),
    ("/yizhan.v1.DeskService/NoteDeskRequest", Operation::ReplyHelpRequest),
    ("/yizhan.v1.DeskService/WaitDeskRequest", Operation::ReplyHelpRequest),
    ("/yizhan.v1.DeskService/RedirectDeskRequest", Operation::WorkHelpRequest),
    ("/yizhan.v1.DeskService/DuplicateDeskRequest", Operation::WorkHelpRequest),
    ("/yizhan.v1.DeskService/ResolveDeskRequest", Operation::ReplyHelpRequest),
    ("/yizhan.v1.DeskService/ReopenDeskRequest", Operation::WorkHelpRequest),
    ("/yizhan.v1.DeskService/SupplyDeskRequest", Operation::ReplyHelpRequest),
    ("/yizhan.v1.DeskService/GetDeskFigures", Operation::ReadDeskFigures),
    ("/yizhan.v1.DeskService/SimulateDeskRoutes", Operation::SimulateRoutes),
    ("/yizhan.v1.HandoffService/OfferHandoff", Operation::OfferHandoff),
    ("/yizhan.v1.HandoffService/AcceptHandoff", Operation::OfferHandoff),
    ("/yizhan.v1.HandoffService/DeclineHandoff", Operation::OfferHandoff),
    ("/yizhan.v1.HandoffService/RecallHandoff", Operation::OfferHandoff),
    ("/yizhan.v1.HandoffService/ListHandoffs", Operation::OfferHandoff),
    ("/yizhan.v1.NoticeService/GetNoticeSettings", Operation::ReceiveNotices),
    ("/yizhan.v1.NoticeService/SetNoticeSettings", Operation::ReceiveNotices),
    ("/yizhan.v1.ReportService/GetReport", Operation::ReadReport),
    ("/yizhan.v1.ImportService/Import", Operation::TryImport),
    ("/yizhan.v1.ExportService/Export", Operation::Export),
    ("/yizhan.v1.AuditService/ListAuditLines", Operation::ReadAudit),
    ("/yizhan.v1.AuditService/VerifyAudit", Operation::VerifyAudit),
    ("/yizhan.v1.EnrolmentService/GetNonce", Operation::Enrol),
    ("/yizhan.v1.EnrolmentService/Enrol", Operation::Enrol),
    ("/yizhan.v1.EnrolmentService/Renew", Operation::Enrol),
    ("/yizhan.v1.LinkService/OpenSession", Operation::OpenLink),
    ("/yizhan.v1.ControlService/CreateToken", Operation::AdmitPoint),
    ("/yizhan.v1.ControlService/RevokePoint", Operation::RevokePoint),
    ("/yizhan.v1.ControlService/DeclareBasis", Operation::DeclareBasis),
    ("/yizhan.v1.ControlService/ApproveEpoch", Operation::AdmitPoint),
    ("/yizhan.v1.ControlService/LimitSealKey", Operation::RevokePoint),
    ("/yizhan.v1.ControlService/Verify", Operation::KeepNode),
    ("/yizhan.v1.ControlService/BackUp", Operation::KeepNode),
    ("/yizhan.v1.ControlService/Recover", Operation::KeepNode),
    ("/grpc.health.v1.Health/Check", Operation::Arrive),
    ("/grpc.health.v1.Health/Watch", Operation::Arrive),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Operation::Arrive),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Operation::Arrive),
];

/// The operation that an RPC stands for, by its HTTP path. An RPC without one is refused.
pub fn rpc(path: &str) -> Option<Operation> {
    RPCS.iter().find(|(named, _)| *named == path).map(|(_, operation)| *operation)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write};

    use prost::Message;

    use super::*;

    /// Paths of all RPCs of the contract.
    fn contract() -> BTreeSet<String> {
        let files = prost_types::FileDescriptorSet::decode(yizhan_proto::FILE_DESCRIPTOR_SET);
        let mut paths = BTreeSet::new();
        for file in files.unwrap().file {
            for service in &file.service {
                for method in &service.method {
                    let (service, method) = (service.name(), method.name());
                    paths.insert(format!("/{}.{service}/{method}", file.package()));
                }
            }
        }
        paths
    }

    /// Role by role, operation by operation; then RPC by RPC.
    fn printed() -> String {
        let mut text = String::new();
        let row = |text: &mut String, name: &str, cells: Vec<&str>| {
            write!(text, "{name:<21}").unwrap();
            for cell in cells {
                write!(text, " {cell:>16}").unwrap();
            }
            text.push('\n');
        };
        row(&mut text, "", Role::ALL.map(Role::name).to_vec());
        for &operation in Operation::ALL {
            let cells = Role::ALL.map(|role| {
                let two = if persons(role, operation) > 1 { " 2p" } else { "" };
                format!("{}{two}", reach(role, operation).name())
            });
            row(
                &mut text,
                &format!("{operation:?}"),
                cells.each_ref().map(|cell| &**cell).to_vec(),
            );
        }
        text.push('\n');
        for (path, operation) in RPCS {
            writeln!(text, "{path} {operation:?}").unwrap();
        }
        text
    }

    #[test]
    fn every_rpc_of_the_contract_names_its_operation() {
        let unnamed: Vec<String> =
            contract().into_iter().filter(|path| rpc(path).is_none()).collect();
        assert_eq!(unnamed, Vec::<String>::new());
    }

    #[test]
    fn no_rpc_is_named_twice() {
        let named: BTreeSet<&str> = RPCS.iter().map(|(path, _)| *path).collect();
        assert_eq!(named.len(), RPCS.len());
    }

    #[test]
    fn the_table_is_the_stored_one() {
        assert_eq!(printed(), include_str!("policy.txt"), "update policy.txt:\n{}", printed());
    }

    #[test]
    fn an_unknown_path_has_no_operation() {
        assert_eq!(rpc("/yizhan.v1.AccountService/signin"), None);
        assert_eq!(rpc("/yizhan.v1.AccountService/SignIn/"), None);
        assert_eq!(rpc(""), None);
    }

    #[test]
    fn nobody_without_an_account_changes_anything_but_what_they_ask_for() {
        use Operation::*;
        for &operation in Operation::ALL {
            let harmless = matches!(
                operation,
                Arrive
                    | Enrol
                    | ReadStatus
                    | ReadDirectory
                    | ReadCard
                    | ReadEvent
                    | SubmitHelpRequest
                    | TrackHelpRequest
                    | ReadReport
            );
            assert_eq!(reach(Role::Client, operation) == Reach::Nothing, !harmless);
        }
    }
}
