//! Work that is done later: asked for in the transaction of the business that wants it, done exactly as often as it
//! must be, by any number of workers on one PostgreSQL.
//!
//! - [`job`]: what a kind of job is ([`Job`]), its [`Policy`]; [`enqueue()`]: asking for one, with a time, a priority, a key
//! - [`handler`]: who does it ([`Effect`], [`Task`]), and what *effects once* means
//! - [`Worker`] (`worker/`): takes jobs, fairly between organisations, does them, tries again, gives up
//! - [`schedule`]: jobs that come again and again; [`dead()`], [`replay`] and [`discard`]: those that were given up
//! - [`House`]: a transaction that sees all organisations; [`bell`]: hearing of what others committed; [`metrics`](mod@metrics): every metric with its cause and what to do
//!
//! | when | then |
//! |---|---|
//! | the transaction that asked is rolled back | the job was never there |
//! | a worker is killed | its jobs run again when its sign of life is older than [`Settings::lease`] |
//! | a worker was only slow, and its jobs run elsewhere | it cannot commit what it did |
//! | an attempt fails | the next comes as the kind's [`Retry`] says, with jitter |
//! | the last attempt fails | the job is a dead letter, which can be replayed |
//! | a program is older and does not know a kind | such jobs wait for one that does |

pub mod bell;
mod dead;
mod enqueue;
pub mod handler;
mod house;
pub mod job;
pub mod metrics;
pub mod schedule;
mod worker;

pub use bell::Bell;
pub use dead::{Dead, dead, dead_letter, discard, replay};
pub use enqueue::{EnqueueError, Enqueued, JobId, New, enqueue, enqueue_each, enqueue_many};
pub use handler::{About, Effect, Fault, Task, Verdict};
pub use house::House;
pub use job::{Job, Policy, Priority, Retry};
pub use schedule::{Schedule, ScheduleError, Times, unschedule};
pub use worker::{Settings, Worker};

/// A connection on which a transaction is open: `&Tenant` and `&Client` of [`platform`] become one where it is wanted.
pub type Tx = deadpool_postgres::ClientWrapper;

/// The migrations of this room.
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// This room: schema `jobs`. It refers to the tables of [`platform::room`].
pub fn room() -> platform::Room {
    platform::Room {
        schema: "jobs",
        runner: embedded::migrations::runner,
    }
}
