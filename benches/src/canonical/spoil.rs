//! Records with something wrong: one kind of mistake each, made from a good heartbeat.

use schemas::Stage;

/// A mistake: what in the text is replaced by what, the stage that refuses it, and the field.
type Mistake = (&'static [u8], &'static [u8], Stage, Option<&'static str>);

const MISTAKES: [Mistake; 8] = [
    (b"\"v\":1", b"\"v\":2", Stage::Validate, Some("v")),
    (b"\"heartbeat\"", b"\"heartbeet\"", Stage::Validate, Some("type")),
    (b"\"device\":", b"\"dev1ce\":", Stage::Validate, Some("device")),
    (b"\"time\":\"20", b"\"time\":\"19", Stage::Validate, Some("time")),
    (b"\"seq\":", b"\"seq\":-", Stage::Validate, Some("seq")),
    (b"\"interval_s\":3600", b"\"interval_s\":0", Stage::Validate, Some("interval_s")),
    (b"\"uptime_s\":", b"\"build\":\"9\",\"uptime_s\":", Stage::Validate, Some("build")),
    (b"\"attrs\":{", b"\"attrs\":[", Stage::Decode, None),
];

/// A frame of a schema registry, id 42.
const REGISTRY_FRAME: &[u8] = b"\0\0\0\0\x2a{}";

/// Writes a spoiled copy of `good` to `out`: the stage and the field that must be named.
pub(super) fn spoil(luck: u64, good: &[u8], out: &mut Vec<u8>) -> (Stage, Option<&'static str>) {
    out.clear();
    let kinds = MISTAKES.len() + 2;
    let kind = (luck % kinds as u64) as usize;
    if kind == MISTAKES.len() {
        return (Stage::Frame, None);
    }
    let Some((from, to, stage, field)) = MISTAKES.get(kind) else {
        out.extend_from_slice(REGISTRY_FRAME);
        return (Stage::Frame, None);
    };
    let at = good.windows(from.len()).position(|window| window == *from);
    assert!(at.is_some(), "the heartbeat has lost a field that a mistake replaces");
    let at = at.unwrap_or(0);
    out.extend_from_slice(&good[..at]);
    out.extend_from_slice(to);
    out.extend_from_slice(&good[at + from.len()..]);
    (*stage, *field)
}
