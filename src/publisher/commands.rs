//! Commands of operators and destinations, on their way from the data folder into the chain.

use std::sync::Arc;

use schemas::{Command, Order, SCHEMA_VERSION, Timestamp};
use store::{StoreError, commands};

use super::leader::{Leader, Leave, Publishing};
use crate::pipeline::PipelineError;

/// Commands taken at once; the rest comes with the next look.
const COMMANDS_PER_TURN: usize = 100;

impl Leader {
    /// Obeys every command that has come, if any are looked for.
    pub(super) fn obey_waiting_commands(&mut self) -> Result<(), PipelineError> {
        let looks = self.setting.rule.poll_interval.is_some();
        while looks && self.obey_commands()? == COMMANDS_PER_TURN {}
        Ok(())
    }

    /// Obeys the commands that have come, and commits what follows; how many there were.
    ///
    /// They stand at the end of a commit: what was merged before it was merged before them.
    pub(super) fn obey_commands(&mut self) -> Result<usize, PipelineError> {
        for _ in 0..COMMANDS_PER_TURN {
            let (store, number) = (Arc::clone(&self.setting.store), self.desk.next_command());
            let read = || commands::read(&*store, number);
            match self.patiently("read a command", read) {
                Ok(Some(command)) => {
                    tracing::info!(number, author = command.author, "obeying a command");
                    self.desk.obey(&command, self.evaluated_until, &mut self.raised);
                }
                Ok(None) => break,
                // Whoever gave it sees in the chain that it was not obeyed, and may give it again.
                Err(PipelineError::Store(error @ StoreError::Damaged { .. })) => {
                    tracing::error!(%error, "a command cannot be read and is left out");
                    let command = self.unreadable(number, &error);
                    self.desk.obey(&command, self.evaluated_until, &mut self.raised);
                }
                Err(error) => return Err(error),
            }
        }
        let count = self.raised.commands.len();
        if count == 0 {
            return Ok(0);
        }
        let store = Arc::clone(&self.setting.store);
        self.patiently("sync commands", || commands::sync(&*store))?;
        self.commit(Publishing::Nothing, Leave::No)?;
        Ok(count)
    }

    fn unreadable(&self, number: u64, error: &StoreError) -> Command {
        Command {
            v: SCHEMA_VERSION,
            number,
            nonce: String::new(),
            at: self.evaluated_until.unwrap_or(Timestamp(0)),
            author: "ringwatch".to_owned(),
            reason: Some(error.to_string()),
            order: Order::Unreadable,
        }
    }
}
