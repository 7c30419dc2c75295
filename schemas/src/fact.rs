//! What telemetry says of how a fleet is run, beside harm: the inputs of the change process.

use crate::event::names;

names! {
    /// Something that only the service may do, or that somebody has to look after.
    ///
    /// All but the last are counted as they happen; `CertificateExpiry` is a level in the making:
    /// devices of which a certificate has come to expire soon, less those of which none does.
    Fact {
        ServiceAccount = "service_account", GroupChange = "group_change",
        PolicyEdit = "policy_edit", RingDrift = "ring_drift",
        SeverityATicket = "severity_a_ticket", CertificateExpiry = "certificate_expiry",
    }
}
