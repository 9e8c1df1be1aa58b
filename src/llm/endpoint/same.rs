//! What of an upstream is the same in the next config, so that what was learnt of it holds there too.

use crate::config::{Endpoint, Model};

impl Model {
    /// Whether its endpoints, where they have the same address, are the same upstream to it: what
    /// one config learnt of them holds in the other.
    pub(super) fn is_reached_like(&self, other: &Self) -> bool {
        self.name == other.name
            && self.protocol == other.protocol
            && self.api_version == other.api_version
            && self.mode == other.mode
            && self.upstream_model == other.upstream_model
            && self.headers == other.headers
            && self.ca_cert == other.ca_cert
    }

    /// Whether the same call makes the same request, so that a refusal of one is a refusal of the
    /// other.
    pub(super) fn asks_like(&self, other: &Self) -> bool {
        self.is_reached_like(other)
            && self.temperature == other.temperature
            && self.max_temperature == other.max_temperature
            && self.send_temperature == other.send_temperature
            && self.structured_output == other.structured_output
            && self.vision == other.vision
            && self.tools == other.tools
            && self.context_tokens == other.context_tokens
    }
}

impl Endpoint {
    /// Whether it is the same address with the same key.
    pub(super) fn is_reached_like(&self, other: &Self) -> bool {
        self.api_base == other.api_base && self.api_key == other.api_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_upstream_is_known_again() {
        let model = |change: fn(&mut Model)| {
            let mut model = Model::plain("m", "http://127.0.0.1:1/v1");
            change(&mut model);
            model
        };
        let plain = model(|_| {});
        for (changed, reached, asks) in [
            (model(|model| model.max_concurrency = Some(1)), true, true),
            (model(|model| model.sticky = true), true, true),
            (model(|model| model.vision = Some(true)), true, false),
            (model(|model| model.max_temperature = 1.0), true, false),
            (model(|model| model.name = "n".to_owned()), false, false),
            (model(|model| model.upstream_model = "n".to_owned()), false, false),
            (model(|model| model.api_version = Some("1".to_owned())), false, false),
        ] {
            assert_eq!(plain.is_reached_like(&changed), reached, "{changed:?}");
            assert_eq!(plain.asks_like(&changed), asks, "{changed:?}");
        }
        let endpoint = Endpoint::plain("http://127.0.0.1:1/v1");
        let heavy = Endpoint { weight: 3, priority: 2, ..endpoint.clone() };
        let keyed = Endpoint { api_key: crate::types::ApiKey::new("k"), ..endpoint.clone() };
        assert!(endpoint.is_reached_like(&heavy) && !endpoint.is_reached_like(&keyed));
    }
}
