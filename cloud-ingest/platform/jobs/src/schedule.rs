//! Jobs that come again and again: cron expressions in a time zone with a name.
//!
//! Clocks that are put forward or back: a fixed time that does not exist that day runs at the first instant after the
//! gap, one that comes twice runs once; a step or a wildcard runs whenever the wall clock shows it. What was missed while
//! no worker was there runs once, not as often as it was missed.

use std::str::FromStr as _;

use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};
use platform::OrganizationId;

use crate::Tx;
use crate::enqueue::{self, EnqueueError, New};

/// Why a schedule cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The expression is none.
    #[error(
        "`{cron}` is not a cron expression: {reason}; write minute, hour, day of month, month and day of week, such as `30 6 * * MON-FRI`"
    )]
    Cron {
        /// What was given.
        cron: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such zone.
    #[error("`{0}` is not a time zone: write an IANA name, such as America/Mexico_City")]
    Zone(String),
    /// The expression has no time to come.
    #[error("`{0}` never comes: no such day is in the calendar")]
    Never(String),
    /// The job cannot be asked for.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
}

impl From<tokio_postgres::Error> for ScheduleError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Enqueue(error.into())
    }
}

/// When something is due, again and again.
#[derive(Clone, Debug)]
pub struct Times {
    cron: Cron,
    zone: TimeZone,
}

impl Times {
    /// A cron expression of five fields (or six, seconds first) in an IANA time zone.
    pub fn new(cron: &str, zone: &str) -> Result<Self, ScheduleError> {
        Ok(Self {
            cron: Cron::from_str(cron).map_err(|error| ScheduleError::Cron {
                cron: cron.to_owned(),
                reason: error.to_string(),
            })?,
            zone: TimeZone::get(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?,
        })
    }

    /// The first time after this one.
    pub fn after(&self, time: Timestamp) -> Result<Timestamp, ScheduleError> {
        self.cron
            .find_next_occurrence(&time.to_zoned(self.zone.clone()), false)
            .map(|next| next.timestamp())
            .map_err(|_| ScheduleError::Never(self.cron.to_string()))
    }
}

/// A job that comes again and again.
#[derive(Clone, Debug)]
pub struct Schedule {
    name: String,
    cron: String,
    zone: String,
    new: New,
}

impl Schedule {
    /// Under this name, which is unique within the organisation.
    pub fn new(name: impl Into<String>, cron: &str, zone: &str, new: New) -> Self {
        Self {
            name: name.into(),
            cron: cron.to_owned(),
            zone: zone.to_owned(),
            new,
        }
    }

    /// Keeps it from now on, in the caller's transaction. One of that name that is there already is replaced, and its
    /// next run stays as it was unless the times are others.
    pub async fn set(
        &self,
        tx: &Tx,
        organization: Option<OrganizationId>,
        now: Timestamp,
    ) -> Result<(), ScheduleError> {
        let next = Times::new(&self.cron, &self.zone)?.after(now)?;
        let payload = self.new.json()?;
        let (priority, attempts) = (self.new.priority.number(), self.new.attempts());
        let statement = tx
            .prepare_cached(include_str!("../queries/set_schedule.sql"))
            .await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
            &organization,
            &self.name,
            &self.cron,
            &self.zone,
            &self.new.kind,
            payload,
            &priority,
            &attempts,
            &next,
        ];
        tx.execute(&statement, &parameters).await?;
        Ok(())
    }
}

/// Ends a schedule; says whether there was one.
pub async fn unschedule(
    tx: &Tx,
    organization: Option<OrganizationId>,
    name: &str,
) -> Result<bool, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/drop_schedule.sql"))
        .await?;
    Ok(tx.execute(&statement, &[&organization, &name]).await? > 0)
}

/// Asks for the jobs of all schedules that are due, in the caller's transaction, of which many may run at once. Returns
/// how many there were.
pub(crate) async fn tick(tx: &Tx, now: Timestamp) -> Result<usize, tokio_postgres::Error> {
    let statement = tx
        .prepare_cached(include_str!("../queries/due_schedules.sql"))
        .await?;
    let rows = tx.query(&statement, &[&now]).await?;
    for row in &rows {
        let (id, due): (i64, Timestamp) = (row.get("id"), row.get("next_at"));
        let name: &str = row.get("name");
        let next = Times::new(row.get("cron"), row.get("time_zone"))
            .and_then(|times| times.after(now))
            .unwrap_or_else(|error| {
                // It was checked when it was set; a tz database that lost the zone may come back.
                tracing::error!(name, %error, "a schedule cannot be kept; it is looked at again tomorrow");
                now.saturating_add(jiff::SignedDuration::from_hours(24))
                    .unwrap_or(Timestamp::MAX)
            });
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
            &row.get::<_, Option<i32>>("organization_id"),
            &row.get::<_, String>("kind"),
            &row.get::<_, serde_json::Value>("payload"),
            &row.get::<_, i16>("priority"),
            &due,
            &row.get::<_, i32>("max_attempts"),
            // A run that is not finished when the next is due is enough.
            &format!("schedule:{id}"),
            &None::<String>,
            &now,
        ];
        let statement = tx
            .prepare_cached(include_str!("../queries/enqueue.sql"))
            .await?;
        tx.query_one(&statement, &parameters).await?;
        let statement = tx
            .prepare_cached(include_str!("../queries/move_schedule.sql"))
            .await?;
        tx.execute(&statement, &[&id, &next]).await?;
    }
    if !rows.is_empty() {
        enqueue::notify(tx).await?;
    }
    Ok(rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let times = Times::new(cron, zone).unwrap();
        let mut at: Timestamp = from.parse().unwrap();
        (0..count)
            .map(|_| {
                at = times.after(at).unwrap();
                at.to_string()
            })
            .collect()
    }

    #[test]
    fn a_time_zone_without_summer_time() {
        // Mexico City gave summer time up in October 2022.
        assert_eq!(
            run(
                "30 6 * * MON-FRI",
                "America/Mexico_City",
                "2026-04-03T00:00:00Z",
                2
            ),
            ["2026-04-03T12:30:00Z", "2026-04-06T12:30:00Z"]
        );
    }

    #[test]
    fn clocks_are_put_forward() {
        // Tijuana follows the United States: on 2026-03-08 there is no 02:30.
        assert_eq!(
            run("30 2 * * *", "America/Tijuana", "2026-03-07T00:00:00Z", 3),
            [
                "2026-03-07T10:30:00Z",
                "2026-03-08T10:00:00Z",
                "2026-03-09T09:30:00Z"
            ]
        );
        assert_eq!(
            run("*/30 * * * *", "America/Tijuana", "2026-03-08T09:00:00Z", 3),
            [
                "2026-03-08T09:30:00Z",
                "2026-03-08T10:00:00Z",
                "2026-03-08T10:30:00Z"
            ]
        );
    }

    #[test]
    fn clocks_are_put_back() {
        // On 2026-11-01 01:30 comes twice in Tijuana: a fixed time runs at the first, a step at both.
        assert_eq!(
            run("30 1 * * *", "America/Tijuana", "2026-11-01T00:00:00Z", 2),
            ["2026-11-01T08:30:00Z", "2026-11-02T09:30:00Z"]
        );
        assert_eq!(
            run("*/30 * * * *", "America/Tijuana", "2026-11-01T08:00:00Z", 4),
            [
                "2026-11-01T08:30:00Z",
                "2026-11-01T09:00:00Z",
                "2026-11-01T09:30:00Z",
                "2026-11-01T10:00:00Z"
            ]
        );
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for (cron, zone, says) in [
            ("30 25 * * *", "UTC", "not a cron expression"),
            ("", "UTC", "not a cron expression"),
            ("0 6 * * *", "Mexico", "America/Mexico_City"),
        ] {
            let error = Times::new(cron, zone).unwrap_err().to_string();
            assert!(
                error.contains(says) || (zone == "Mexico" && error.contains("not a time zone")),
                "{cron} {zone}: {error}"
            );
        }
        let never = Times::new("0 0 30 2 *", "UTC").unwrap();
        assert!(matches!(
            never.after(Timestamp::UNIX_EPOCH),
            Err(ScheduleError::Never(_))
        ));
    }
}
