//! Signals as a program meets them when a person starts it.

use std::sync::{Arc, Once};

use signal_hook::consts::{SIGHUP, SIGINT};

/// Sees to it that programs started from here hear SIGINT and SIGHUP.
///
/// Tests that run in the background or under `nohup` have them ignored, and an ignored signal stays ignored in every
/// child. One that is handled is at its default again.
pub(crate) fn hear() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored =
            status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
        for signal in [SIGINT, SIGHUP] {
            if ignored.unwrap_or(0) >> (signal - 1) & 1 == 1 {
                signal_hook::flag::register(signal, Arc::default()).expect("handling a signal");
            }
        }
    });
}
