//! How often somebody may ask.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};
use platform::{Actor, OrganizationId};

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// How often callers and strangers may ask, each on their own.
#[derive(Debug)]
pub struct Limits {
    callers: Limiter<(OrganizationId, Actor)>,
    strangers: Limiter<IpAddr>,
    clock: DefaultClock,
}

impl Limits {
    /// So many requests per second for whoever is known (twice as many at once), and so many per minute for an
    /// address that is not (all of them at once).
    pub fn new(callers_per_second: NonZeroU32, strangers_per_minute: NonZeroU32) -> Self {
        let burst = callers_per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        Self {
            callers: RateLimiter::hashmap(Quota::per_second(callers_per_second).allow_burst(burst)),
            strangers: RateLimiter::hashmap(Quota::per_minute(strangers_per_minute)),
            clock: DefaultClock::default(),
        }
    }

    /// One more request of a caller; how long to wait when it is too many.
    pub fn caller(&self, organization: OrganizationId, actor: &Actor) -> Result<(), Duration> {
        self.callers
            .check_key(&(organization, actor.clone()))
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// One more request from an address of which nobody is known.
    pub fn stranger(&self, from: IpAddr) -> Result<(), Duration> {
        self.strangers
            .check_key(&network(from))
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets who has not asked for a while; to be called now and then.
    pub fn tidy(&self) {
        self.callers.retain_recent();
        self.strangers.retain_recent();
    }
}

/// Who has one IPv6 address has 2^64 of them.
fn network(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => {
                let [a, b, c, d, ..] = six.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_their_own() {
        let limits = Limits::new(NonZeroU32::new(5).unwrap(), NonZeroU32::new(3).unwrap());
        let a = OrganizationId(1);
        let allowed = (0..20)
            .filter(|_| limits.caller(a, &Actor::Key(1)).is_ok())
            .count();
        assert!((10..=11).contains(&allowed), "{allowed}");
        assert!(limits.caller(a, &Actor::Key(2)).is_ok());
        assert!(limits.caller(OrganizationId(2), &Actor::Key(1)).is_ok());
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..3 {
            assert!(limits.stranger(from("2001:db8::1")).is_ok());
        }
        let wait = limits.stranger(from("2001:db8::ffff")).unwrap_err();
        assert!(
            wait > Duration::from_secs(15) && wait <= Duration::from_secs(20),
            "{wait:?}"
        );
        assert!(limits.stranger(from("192.0.2.1")).is_ok());
        limits.tidy();
    }
}
