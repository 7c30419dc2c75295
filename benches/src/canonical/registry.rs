//! What the registry says of the two changes: records that carry their own `time`.

use schemas::registry::{ChangeRecord, ChangeStatus, RingStart};
use schemas::{Span, Stream, StreamKind};
use sim::SimRecord;

use super::{CHANGES, CanonicalConfig, RINGS};

/// The records of the topic `changes`; all take effect before the first telemetry. Every ring has
/// started by then, so that no exposure breaks the change process.
pub fn registry(config: &CanonicalConfig) -> Vec<SimRecord> {
    let said = config.start - Span::hours(1);
    let plan = |(position, (ring, _)): (usize, &(&str, f64))| RingStart {
        ring: (*ring).to_owned(),
        starts: config.start - Span::days(5 - position as i64),
    };
    let rings: Vec<RingStart> = RINGS.iter().enumerate().map(plan).collect();
    let record = |(change, change_type)| {
        let record = ChangeRecord {
            change: String::from(change),
            title: Some(format!("canonical change {change}")),
            change_type,
            reversible: true,
            status: ChangeStatus::Deploying,
            announced: Some(config.start - Span::days(7)),
            requires_action: false,
            acknowledged_at: None,
            action_due: None,
            mitigated_at: None,
            reason: None,
            supersedes: None,
            rings: rings.clone(),
            time: Some(said),
        };
        let stream = Stream { kind: StreamKind::Changes, partition: 0 };
        let value = sim::registry::to_json(&record);
        SimRecord { stream, arrival: said, key: record.change, value }
    };
    CHANGES.into_iter().map(record).collect()
}
