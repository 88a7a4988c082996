//! How the approval page looks and reads, in each of its states: on a phone and on a desktop, light and
//! dark, for those who see and those who are read to.
//!
//! `SIGNALBOX_SCREENSHOTS=<folder>` keeps a picture of each, to look at.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;

use crate::approvals::{ask_with, resigned};
use crate::browser::setup;
use crate::browser::tab::{DESKTOP, PHONE, Scripts, Tab};
use crate::browser::{a_queue_of_two, assert_by_itself, browser, let_a_newer_one_wait};
use crate::world::World;

/// What a page of ours must hold for everybody.
const AUDIT: &str = include_str!("browser/audit.js");

/// Somebody who looks at one state after another.
struct Looking<'a> {
    world: &'a World,
    tab: Tab,
    axe: String,
    pictures: Option<PathBuf>,
    /// What is wrong, with state and screen.
    wrong: Vec<String>,
}

impl<'a> Looking<'a> {
    async fn new(world: &'a World, tab: Tab) -> Self {
        let axe = setup::axe(&world.running.paths.home(), &world.running.tools)
            .await
            .unwrap();
        let pictures = std::env::var_os("SIGNALBOX_SCREENSHOTS").map(PathBuf::from);
        if let Some(folder) = &pictures {
            std::fs::create_dir_all(folder).unwrap();
        }
        Self {
            world,
            tab,
            axe,
            pictures,
            wrong: Vec::new(),
        }
    }

    async fn open(&mut self, state: &str, url: &str, status: u64) {
        assert_eq!(self.tab.open(url).await, status, "{state}");
        self.look(state).await;
    }

    async fn click(&mut self, state: &str, selector: &str, status: u64) {
        assert_eq!(self.tab.click(selector).await, status, "{state}");
        self.look(state).await;
    }

    /// At the page that is shown, on each screen.
    async fn look(&mut self, state: &str) {
        self.tab.evaluate(&self.axe).await;
        for screen in [PHONE, DESKTOP] {
            self.tab.resize(screen).await;
            for scheme in ["light", "dark"] {
                self.tab.prefer(scheme).await;
                let place = format!("{state}-{}-{scheme}", screen.name);
                let own = self.tab.evaluate(&format!("({AUDIT})({})", screen.width)).await;
                let rules = self.tab.evaluate(AXE).await;
                for found in own.as_array().unwrap().iter().chain(rules.as_array().unwrap()) {
                    self.wrong
                        .push(format!("{place}: {}", found.as_str().unwrap_or_default()));
                }
                if let Some(folder) = &self.pictures {
                    self.tab.picture(&folder.join(format!("{place}.png"))).await;
                }
            }
        }
    }

    fn finish(self) {
        assert_by_itself(self.world, &self.tab);
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

/// All of WCAG 2.2 up to AA that a program can judge, and what is good practice.
const AXE: &str = "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
  .then(({ violations, passes }) => violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.failureSummary} ${node.html}`))
    .concat(passes.length > 10 ? [] : ['axe looked at nothing']))";

pub(crate) async fn every_state_reads_well_on_every_screen(world: &World) {
    let browser = browser(world).await;
    let tab = Tab::new(&browser, DESKTOP, Scripts::On).await;
    let mut looking = Looking::new(world, tab).await;
    let asked = ask_with(
        world,
        "Round the totals; a reference without any place to break: https://tickets.example/browse/\
         TOTALS-0123456789012345678901234567890123456789012345678901234567890123456789",
    )
    .await;
    let past = Timestamp::from_second(Timestamp::now().as_second() - 3600).unwrap();
    let (expired, _, _) = resigned(world, &asked.ann, |link| link.expires = past).await;
    let stranger = |link: &mut signalbox_decision::approval::link::Link| {
        link.approver = signalbox_decision::names::Approver::new("mallory@example.com").unwrap();
    };
    let (stranger, _, _) = resigned(world, &asked.ann, stranger).await;
    looking.open("expired", &expired, 410).await;
    looking.open("unlisted", &stranger, 403).await;
    looking
        .open("invalid", &format!("{}a/AAAA", world.installed.answer_url), 404)
        .await;
    looking.open("form", &asked.ann, 200).await;
    looking.tab.fill("#comment", "Looks good").await;
    looking.click("approved", "button[value=approve]", 200).await;
    looking.open("already-approved", &asked.ben, 200).await;

    let asked = ask_with(world, "Author: Ann <ann@example.com>").await;
    looking.open("own-change", &asked.ann, 200).await;
    looking.click("rejected", "button[value=reject]", 200).await;
    looking.open("already-rejected", &asked.ben, 200).await;
    looking.finish();
}

/// In a cloud of its own: elsewhere runs go side by side.
pub(crate) async fn every_state_of_an_older_revision_reads_well_on_every_screen(world: &World) {
    let browser = browser(world).await;
    let (world, asked) = a_queue_of_two().await;
    let tab = Tab::new(&browser, DESKTOP, Scripts::On).await;
    let mut looking = Looking::new(&world, tab).await;
    looking.open("quorum", &asked.ann, 200).await;
    let_a_newer_one_wait(&world).await;
    looking.open("stale", &asked.ann, 200).await;
    looking.click("second-step", "button[value=approve]", 200).await;
    looking.click("counted", "button[value=approve]", 200).await;
    looking.open("counted-again", &asked.ann, 200).await;
    looking.open("stale-other", &asked.ben, 200).await;
    let name = json!({ "name": world.installed.pipeline });
    world
        .running
        .call("codepipeline", "DeletePipeline", name)
        .await
        .unwrap();
    looking.open("gone", &asked.ann, 410).await;
    looking.finish();
    world.stop().await;
}
