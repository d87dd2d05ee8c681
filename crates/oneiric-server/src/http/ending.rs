//! How an act ended that was let through: one more line in the audit log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oneiric::audit::{Act, AuditLog, Outcome};

/// Takes the end of an act. Clones are of the same act, whose end is told once: when the last of them goes untold, the line says
/// that the end is not known (the caller left, or nothing was called). Empty for acts that leave no line.
#[derive(Clone, Default)]
pub struct Ending(Option<Arc<Pending>>);

struct Pending {
    audit: Arc<AuditLog>,
    door: &'static str,
    from: String,
    who: String,
    token_id: String,
    what: String,
    told: AtomicBool,
}

impl Ending {
    /// Of an act that was written down as let through.
    pub(super) fn of(audit: &Arc<AuditLog>, act: &Act<'_>, door: &'static str) -> Self {
        Self(Some(Arc::new(Pending {
            audit: Arc::clone(audit),
            door,
            from: act.from.to_owned(),
            who: act.who.to_owned(),
            token_id: act.token_id.to_owned(),
            what: act.what.to_owned(),
            told: AtomicBool::new(false),
        })))
    }

    /// It was done, or failed with this code.
    pub fn tell(&self, failure: Option<&str>) {
        if let Some(pending) = &self.0 {
            match failure {
                None => pending.tell(Outcome::Done, ""),
                Some(code) => pending.tell(Outcome::Failed, code),
            }
        }
    }
}

impl Pending {
    fn tell(&self, outcome: Outcome, why: &str) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let Self { door, from, who, token_id, what, .. } = self;
        self.audit.record(&Act { outcome, door, from, who, token_id, what, why });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.tell(Outcome::Unknown, "");
    }
}
