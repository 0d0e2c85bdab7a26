//! How much one user may take out by export in a day.

use super::Audit;
use crate::{
    app::error::{Error, Result},
    domain::time::Time,
    identity::caller::Caller,
    store::audit,
};

/// Rows of personal data that one user exports in a day.
pub const EXPORT_ROWS_PER_DAY: i64 = 10_000;
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

impl Audit {
    /// Takes `rows` out of the caller's budget of today, or refuses: nothing is taken then.
    pub async fn spend(&self, caller: &Caller, rows: u64, now: Time) -> Result<()> {
        let actor = caller.author().actor;
        let rows = i64::try_from(rows).unwrap_or(i64::MAX / 2);
        let db = self.db.clone();
        // In a task of its own: a caller that goes away must not leave a transaction open.
        let task = tokio::spawn(async move {
            let mut tx = db.begin().await?;
            let day = now.0.div_euclid(DAY_US);
            let most = EXPORT_ROWS_PER_DAY;
            let (fits, _) = audit::add_exported(tx.connection(), &actor, day, rows, most).await?;
            tx.commit().await?;
            Ok::<_, Error>(fits)
        });
        match task.await.map_err(|_| Error::Busy)?? {
            true => Ok(()),
            false => Err(Error::Precondition {
                reason: "EXPORT_BUDGET",
                message: format!(
                    "nobody takes out more than {EXPORT_ROWS_PER_DAY} rows of personal data in one day: narrow \
                     the filter, or go on tomorrow (UTC) · 每人每天最多导出 {EXPORT_ROWS_PER_DAY} 行个人数据：\
                     请缩小范围，或明天（UTC）再导出"
                ),
            }),
        }
    }
}
