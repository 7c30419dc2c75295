//! The fold as stored state: everything that the next record depends on.

use crate::devices::Devices;
use crate::fold::Fold;
use crate::measures::Fault;
use crate::state::{Reader, StateError, Writer};

impl Fold {
    /// Stores everything but the rows: there are none.
    pub(crate) fn save(&self, out: &mut Writer) {
        assert!(self.rows.is_empty(), "state is stored where the rows have been taken");
        self.exposure.save(out);
        self.sequences.save(out);
        self.onsets.save(out);
        self.signatures.save(out);
        self.certificates.save(out);
        self.lag.save(out);
        self.returns.save(out);
        self.labels.save(out);
        let mut resets: Vec<_> = self.resets.iter().collect();
        resets.sort_unstable();
        out.put_all(resets.into_iter());
    }

    /// Restores what was stored into a fold that is new.
    pub(crate) fn load(
        &mut self,
        from: &mut Reader<'_>,
        devices: &Devices,
    ) -> Result<(), StateError> {
        self.exposure.load(from, devices)?;
        self.sequences.load(from)?;
        self.onsets.load(from)?;
        self.signatures.load(from)?;
        self.certificates.load(from, self.labels.rings.len())?;
        self.lag.load(from)?;
        self.returns.load(from)?;
        self.labels.load(from)?;
        let resets: Vec<(u32, u32)> = from.take_all(Reader::take)?;
        self.resets.extend(resets);
        let known = |fault: Fault| self.labels.signatures.has(fault.signature);
        let faults_known = self.signatures.kinds().all(known);
        let cohorts_known = self.exposure.cohorts.keys().all(|key| self.labels.cohort_named(key));
        let trials_known = self.returns.known().all(|who| self.labels.name(who));
        if faults_known
            && trials_known
            && cohorts_known
            && devices.iter().all(|device| self.labels.name_all_of(device))
        {
            Ok(())
        } else {
            Err(StateError::Damaged)
        }
    }
}
