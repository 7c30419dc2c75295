//! Where an alert says to look further: the addresses of this installation.
//!
//! They are no part of what the chain holds: an address that moves changes no alert. They are
//! filled in where an alert leaves: for a destination, for whoever asks by HTTP, into its table.

use schemas::Alert;
use schemas::alert::Links;

/// What stands in a runbook's address for the page of a signal.
const PAGE: &str = "{page}";

/// Addresses for people; `None`: there is none to link to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkRule {
    dashboard: Option<String>,
    runbook: Option<String>,
}

impl LinkRule {
    /// `dashboard` is where the pages are reached, `runbook` an address with `{page}` in it, for
    /// the pages of `docs/runbook`; empty: none. An error says which key, and what is wrong.
    pub fn new(dashboard: &str, runbook: &str) -> Result<Self, (&'static str, &'static str)> {
        let dashboard = address(dashboard).map_err(|what| ("links.dashboard", what))?;
        let runbook = address(runbook).map_err(|what| ("links.runbook", what))?;
        if runbook.as_ref().is_some_and(|runbook| !runbook.contains(PAGE)) {
            return Err((
                "links.runbook",
                "has no {page}, which stands for the page of a signal; write it as \
                 \"https://wiki.example.com/ringwatch/{page}\"",
            ));
        }
        let dashboard = dashboard.map(|base| base.trim_end_matches('/').to_owned());
        Ok(Self { dashboard, runbook })
    }

    /// The alert with its addresses.
    pub fn linked(&self, alert: &Alert) -> Alert {
        Alert { links: self.of(alert), ..alert.clone() }
    }

    /// The addresses for one alert.
    pub fn of(&self, alert: &Alert) -> Links {
        let Alert { id, signal, .. } = alert;
        Links {
            dashboard: self.dashboard.as_ref().map(|base| format!("{base}/#/alert/{id}")),
            runbook: self.runbook.as_ref().map(|runbook| runbook.replace(PAGE, signal)),
        }
    }
}

fn address(text: &str) -> Result<Option<String>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_address = text.starts_with("https://") || text.starts_with("http://");
    let is_plain = text.chars().all(|c| c.is_ascii_graphic());
    if is_address && is_plain {
        Ok(Some(text.to_owned()))
    } else {
        Err("is no address; write it as \"https://rings.example.com\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::examples;

    #[test]
    fn an_alert_leads_to_its_page_and_to_the_runbook_of_its_signal() {
        let alert = examples::firing("kb1");
        let rule =
            LinkRule::new("https://rings.example.com/", "https://wiki.example.com/{page}.md")
                .expect("addresses");
        let links = rule.of(&alert);
        let page = format!("https://rings.example.com/#/alert/{}", alert.id);
        let runbook = format!("https://wiki.example.com/{}.md", alert.signal);
        assert_eq!(links, Links { dashboard: Some(page), runbook: Some(runbook) });
        assert_eq!(LinkRule::new("", ""), Ok(LinkRule::default()));
        assert_eq!(LinkRule::default().of(&alert), Links::default());
    }

    #[test]
    fn what_is_no_address_is_refused_by_its_key() {
        for (dashboard, runbook, key) in [
            ("rings.example.com", "", "links.dashboard"),
            ("javascript:alert(1)", "", "links.dashboard"),
            ("", "https://wiki.example.com/", "links.runbook"),
            ("", "https://wiki.example.com/ {page}", "links.runbook"),
        ] {
            let refused = LinkRule::new(dashboard, runbook).expect_err("refused");
            assert_eq!(refused.0, key);
        }
    }
}
