//! The settings that all programs share.

use super::{Catalog, Kind, Spec};

/// `settings/oneiric.yaml`, `~/.oneiric/config.yaml`, `ONEIRIC_*`.
pub static ONEIRIC: Catalog = Catalog {
    product: "oneiric",
    env_prefix: "ONEIRIC",
    specs: &[
        Spec {
            path: "event_buffer.enabled",
            kind: Kind::Bool,
            default: "true",
            env: &[],
            aliases: &[],
            doc: "Record sessions and deliver their events; false records nothing",
        },
        Spec {
            path: "event_buffer.max_size",
            kind: Kind::Int { min: 1, max: 1_000_000 },
            default: "1000",
            env: &[],
            aliases: &[],
            doc: "Events that may wait before a delivery starts early",
        },
        Spec {
            path: "event_buffer.flush_interval",
            kind: Kind::Int { min: 1, max: 3600 },
            default: "5",
            env: &[],
            aliases: &[],
            doc: "Seconds between deliveries",
        },
    ],
};
