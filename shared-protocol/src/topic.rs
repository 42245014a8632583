//! Where each message travels over MQTT: `patio/1/<gateway>/up/<class>`, `…/up/hello`, `…/down/<kind>`.
//!
//! Rights are given by the name in the certificate; what a topic says is never believed over a signature.

use crate::{Class, GatewayId};

/// Blocks of a class, gateway to cloud.
pub fn up(gateway: &GatewayId, class: Class) -> String {
    format!("patio/1/{gateway}/up/{}", class.name())
}

/// Hellos, gateway to cloud.
pub fn hello(gateway: &GatewayId) -> String {
    format!("patio/1/{gateway}/up/hello")
}

/// What a gateway subscribes to: everything that the cloud says to it.
pub fn all_down(gateway: &GatewayId) -> String {
    format!("patio/1/{gateway}/down/+")
}

/// Acknowledgements, cloud to gateway.
pub fn ack(gateway: &GatewayId) -> String {
    format!("patio/1/{gateway}/down/ack")
}

/// Commands, cloud to gateway.
pub fn command(gateway: &GatewayId) -> String {
    format!("patio/1/{gateway}/down/command")
}

/// What the cloud subscribes to for blocks of a class of all gateways.
pub fn all_up(class: Class) -> String {
    format!("patio/1/+/up/{}", class.name())
}

/// What the cloud subscribes to for hellos.
pub fn all_hellos() -> String {
    "patio/1/+/up/hello".to_owned()
}

/// The gateway that a topic names, when it is one of this protocol.
pub fn gateway(topic: &str) -> Option<GatewayId> {
    topic
        .strip_prefix("patio/1/")?
        .split('/')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_name_their_gateway() {
        let id: GatewayId = "depot-1".parse().unwrap();
        for topic in [up(&id, Class::Live), hello(&id), ack(&id), command(&id)] {
            assert_eq!(gateway(&topic), Some(id.clone()));
        }
        assert_eq!(gateway("patio/1/A B/up/live"), None);
        assert_eq!(gateway("spBv1.0/x"), None);
        assert_eq!(up(&id, Class::Bulk), "patio/1/depot-1/up/bulk");
    }
}
