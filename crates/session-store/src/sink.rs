//! A store as the receiver of spools: a process that holds the database delivers without a network.

use std::sync::Arc;
use std::time::Duration;

use oneiric::event::{BatchReceipt, EventBatch};
use oneiric::fault::{Fault, FaultKind};
use oneiric::spool::{DeliveryError, EventSink};

use crate::store::{Store, Unknown};

/// Delivers batches into a store; sessions whose start has not arrived are opened.
#[derive(Clone)]
pub struct StoreSink(Arc<dyn Store>);

impl StoreSink {
    /// A sink over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

impl EventSink for StoreSink {
    fn deliver(&self, batch: &EventBatch, _limit: Duration) -> Result<BatchReceipt, DeliveryError> {
        let receipts = self.0.ingest(std::slice::from_ref(batch), Unknown::Open).map_err(told)?;
        receipts.into_iter().next().ok_or_else(|| DeliveryError::Failed("the store gave no receipt".to_owned()))
    }
}

fn told(fault: Fault) -> DeliveryError {
    let text = fault.to_string();
    match fault.kind() {
        FaultKind::User | FaultKind::NotFound => DeliveryError::Refused(text),
        FaultKind::Denied => DeliveryError::Denied(text),
        _ => DeliveryError::Failed(text),
    }
}
