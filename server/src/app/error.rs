//! What a use case may answer instead of its result.
//!
//! A variant exists if a caller would act on it. Each has a code and a stable reason; clients, the
//! command line and documents rely on both.

use tonic::Code;

use crate::{domain::text::Invalid, identity::caller::Refused, store};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is signed in, and the operation is not for everybody.
    #[error("there is no session, or it has ended")]
    Unauthenticated,
    /// One answer for a wrong name, a wrong password and a disabled account.
    #[error("name or password is wrong")]
    SignInFailed,
    /// Name and password are right; the account has one-time codes, and this was none of now.
    #[error(
        "a one-time code is needed: give --otp with the six digits that the authenticator shows"
    )]
    CodeNeeded,
    #[error("too many attempts: try again in {} s", retry_after_ms.div_ceil(1_000))]
    SlowDown { retry_after_ms: u64 },
    /// Said only where the caller may know that the thing exists; `NotFound` otherwise.
    #[error("this account may not do that")]
    Denied,
    #[error("one person alone may not do that here")]
    TwoPersons,
    #[error("{noun} not found")]
    NotFound { noun: &'static str },
    #[error("{noun} exists already")]
    Exists { noun: &'static str },
    /// At least one field; all that were found wrong.
    #[error("{}", complaints(.0))]
    Invalid(Vec<Invalid>),
    /// The state of things does not allow it. The reason is in upper case: `RECORD_ERASED`.
    #[error("{message}")]
    Precondition { reason: &'static str, message: String },
    #[error("the file is larger than 20 MB: send a smaller one")]
    FileTooLarge,
    /// Said alike for right codes and wrong ones.
    #[error("{point} cannot be reached{}: try again later", since_text(since))]
    OwnerUnavailable { point: String, since: String },
    /// Said alike for right codes and wrong ones.
    #[error("it is on its way to {point}: try again shortly")]
    UnderWay { point: String },
    #[error("its home is {home}: only that point's node can change it")]
    NotHome { home: String },
    #[error("changed since it was read: read it again and repeat the change")]
    Stale,
    #[error(
        "a feed of this point is frozen: its home has sealed two different states, and writes it again in its next epoch"
    )]
    Frozen,
    #[error("this node does not write until its own feeds have been taken back from neighbours")]
    ReadOnly,
    #[error("the disk is full")]
    StorageFull,
    /// A bounded queue is full. Nothing was done.
    #[error("too busy: try again in a moment")]
    Busy,
    #[error("storage failed")]
    Storage(#[source] store::StoreError),
}

impl Error {
    /// Code and reason that clients act on. No `_` arm: a new error has to choose.
    pub fn kind(&self) -> (Code, &'static str) {
        match self {
            Error::Unauthenticated => (Code::Unauthenticated, "UNAUTHENTICATED"),
            Error::SignInFailed => (Code::Unauthenticated, "SIGN_IN_FAILED"),
            Error::CodeNeeded => (Code::Unauthenticated, "OTP_NEEDED"),
            Error::SlowDown { .. } => (Code::ResourceExhausted, "SLOW_DOWN"),
            Error::Denied => (Code::PermissionDenied, "DENIED"),
            Error::TwoPersons => (Code::FailedPrecondition, "TWO_PERSONS_NEEDED"),
            Error::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
            Error::Exists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
            // What was asked is right, and not now: its field names the moves that are allowed.
            Error::Invalid(fields) if is_refused_move(fields) => {
                (Code::FailedPrecondition, "MOVE_REFUSED")
            }
            Error::Invalid(_) => (Code::InvalidArgument, "INVALID"),
            Error::Precondition { reason, .. } => (Code::FailedPrecondition, reason),
            Error::FileTooLarge => (Code::ResourceExhausted, "TOO_LARGE"),
            Error::OwnerUnavailable { .. } => (Code::Unavailable, "OWNER_UNAVAILABLE"),
            Error::UnderWay { .. } => (Code::Unavailable, "UNDER_WAY"),
            Error::NotHome { .. } => (Code::FailedPrecondition, "NOT_HOME"),
            Error::Stale => (Code::Aborted, "STALE"),
            Error::Frozen => (Code::FailedPrecondition, "FROZEN"),
            Error::ReadOnly => (Code::FailedPrecondition, "READ_ONLY"),
            Error::StorageFull => (Code::ResourceExhausted, "DISK_FULL"),
            Error::Busy => (Code::Unavailable, "BUSY"),
            Error::Storage(_) => (Code::Internal, "STORAGE_FAILED"),
        }
    }
}

fn is_refused_move(fields: &[Invalid]) -> bool {
    !fields.is_empty() && fields.iter().all(|invalid| invalid.reason == "move_refused")
}

impl Error {
    /// What people who read Chinese are told (zh-Hans); none where the text says it in both languages,
    /// or field by field.
    pub fn message_zh(&self) -> Option<&'static str> {
        Some(match self {
            Error::Unauthenticated => "尚未登录，或会话已结束",
            Error::SignInFailed => "用户名或密码不正确",
            Error::CodeNeeded => "还需要验证器上的六位验证码",
            Error::SlowDown { .. } => "尝试次数过多，请稍后再试",
            Error::Denied => "此账号无权办理",
            Error::TwoPersons => "此事须由两人办理",
            Error::NotFound { .. } => "没有找到",
            Error::Exists { .. } => "已经存在",
            Error::FileTooLarge => "文件超过 20 MB，请换一个较小的文件",
            Error::OwnerUnavailable { .. } => "暂时无法联系到受理的联络点，请稍后再试",
            Error::UnderWay { .. } => "求助正在转往受理的联络点，请稍后再查",
            Error::NotHome { .. } => "只有归属联络点的节点可以更改",
            Error::Stale => "读取之后已被更改：请重新读取，再作更改",
            Error::Frozen => "本联络点的数据已冻结，等待新的纪元",
            Error::ReadOnly => "本节点正在从相邻节点取回数据，暂不写入",
            Error::StorageFull => "磁盘空间不足",
            Error::Busy => "系统繁忙，请稍后再试",
            Error::Storage(_) => "存储失败",
            Error::Precondition { reason, message } if !is_in_chinese(message) => {
                return PRECONDITIONS_ZH
                    .iter()
                    .find(|(known, _)| known == reason)
                    .map(|(_, zh)| *zh);
            }
            Error::Invalid(_) | Error::Precondition { .. } => return None,
        })
    }
}

/// What the reasons mean whose messages are in English alone, for they name a point, a time or a cause.
const PRECONDITIONS_ZH: [(&str, &str); 20] = [
    ("APPROVAL_CLOSED", "已有他人作出决定"),
    ("APPROVAL_EXPIRED", "未在期限内获得同意：请重新提出"),
    ("EVENT_NOT_OVER", "活动尚未结束：结束之后才能登记为已举办"),
    ("FOUNDING_POINT", "创始联络点不能移出网络"),
    ("HANDLED_ELSEWHERE", "求助已由另一联络点受理：请写给该联络点"),
    ("HANDOFF_OPEN", "已向一个联络点提出转交：请先撤回"),
    ("IMPORT_BROKE_OFF", "导入中断：请重新导入，已写入的行保持不变"),
    ("KEY_LOST", "本联络点的密钥打不开这一求助：请联系其代管联络点"),
    ("MEMBER_HAS_ACCOUNT", "该成员已有账号：请先停用原账号"),
    ("MOVE_OPEN", "该成员的转移正在办理：请先撤回"),
    ("NOTHING_TO_RECOVER", "没有需要恢复的内容"),
    ("NOT_SENT", "未能发往对方联络点：请稍后再试"),
    ("NO_CASE_KEY", "名册中没有该联络点的求助密钥"),
    ("NO_HANDOFF_ASKED", "没有人请求转交这一求助"),
    ("NO_SEALED_CONTENT", "这一求助没有密封内容"),
    ("OWNER_REACHABLE", "受理的联络点可以联系到：请向其服务台查询"),
    ("OWN_APPROVAL", "提出者不能自己同意"),
    ("POINT_CHANGED", "提出之后该联络点的登记已被更改：请重新提出"),
    ("POINT_REVOKED", "该联络点已被移出网络，不能以此代码重新加入"),
    ("TASK_UNKNOWN", "本版本不认识这一任务"),
];

fn is_in_chinese(text: &str) -> bool {
    text.chars().any(|char| ('\u{4e00}'..='\u{9fff}').contains(&char))
}

fn since_text(since: &str) -> String {
    if since.is_empty() { String::new() } else { format!(" since {since}") }
}

fn complaints(fields: &[Invalid]) -> String {
    let one = |invalid: &Invalid| {
        let (_, message) = crate::domain::message::of(invalid.reason);
        let hint = if invalid.hint.is_empty() { "".into() } else { format!(" ({})", invalid.hint) };
        format!("{} {message}{hint}", invalid.field)
    };
    fields.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        Error::Invalid(vec![invalid])
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::Unauthenticated => Error::Unauthenticated,
            Refused::Denied => Error::Denied,
        }
    }
}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Error {
        match error {
            store::StoreError::Full(_) => Error::StorageFull,
            error => Error::Storage(error),
        }
    }
}
