//! A timeline that outgrows its row: a run that is retried for weeks has hundreds of actions.
//!
//! What has ended longest ago is dropped, and it is noted how much. What was *told* of it is kept: whoever
//! reads AWS again sees it again, and must not tell it again.

use jiff::Timestamp;

use super::Timeline;

/// Of what could be dropped, so many parts at a time: each trial writes the whole timeline.
const PARTS: usize = 20;

impl Timeline {
    /// Drops of the actions, builds and deployments that have ended the oldest, until `fits` says that the
    /// rest fits; `false` if it does not even then.
    ///
    /// [`Timeline::dropped`] counts what AWS has told of and this timeline no longer holds: told of it again,
    /// it is dropped again, and not counted twice.
    pub fn shorten(&mut self, fits: impl Fn(&Self) -> bool) -> bool {
        self.dropped = 0;
        if fits(self) {
            return true;
        }
        let mut ended = self.ended();
        ended.sort();
        let step = ended.len().div_ceil(PARTS).max(1);
        for some in ended.chunks(step) {
            for (_, kind, id) in some {
                match kind {
                    Kind::Action => {
                        self.actions.remove(id);
                        self.jobs.remove(id);
                    }
                    Kind::Build => drop(self.builds.remove(id)),
                    Kind::Deployment => {
                        self.deployments.remove(id);
                        self.validations.remove(id);
                    }
                }
                self.dropped = self.dropped.saturating_add(1);
            }
            if fits(self) {
                return true;
            }
        }
        false
    }

    fn ended(&self) -> Vec<(Option<Timestamp>, Kind, String)> {
        let actions = self
            .actions
            .iter()
            .map(|(id, it)| (&it.progress, Kind::Action, id));
        let builds = self.builds.iter().map(|(id, it)| (&it.progress, Kind::Build, id));
        let deployments = self
            .deployments
            .iter()
            .map(|(id, it)| (&it.progress, Kind::Deployment, id));
        let all = actions.chain(builds).chain(deployments);
        all.filter(|(progress, ..)| progress.state.is_final())
            .map(|(progress, kind, id)| (progress.ended.or(progress.started), kind, id.clone()))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Action,
    Build,
    Deployment,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Action, Progress, State};

    fn retried(count: i64) -> Timeline {
        let mut timeline = Timeline::default();
        for at in 0..count {
            let ended = Timestamp::from_second(1_800_000_000 + at).ok();
            let goes_on = at == 0;
            let action = Action {
                stage: "Build".to_owned(),
                name: "Build".to_owned(),
                category: "Build".to_owned(),
                provider: "CodeBuild".to_owned(),
                external: None,
                error: None,
                progress: Progress {
                    state: if goes_on { State::InProgress } else { State::Failed },
                    started: ended,
                    ended: ended.filter(|_| !goes_on),
                },
            };
            timeline.actions.insert(format!("{:04}", count - at), action);
            timeline.told.insert(format!("notice/{at}"));
        }
        timeline
    }

    fn few(most: usize) -> impl Fn(&Timeline) -> bool {
        move |timeline| timeline.actions.len() <= most
    }

    #[test]
    fn what_ended_first_is_dropped_and_what_goes_on_is_kept() {
        let mut timeline = retried(100);
        assert!(timeline.shorten(few(40)));
        assert_eq!((timeline.actions.len(), timeline.dropped), (40, 60));
        assert!(timeline.actions.contains_key("0100"), "it goes on since long ago");
        assert!(timeline.actions.contains_key("0001") && !timeline.actions.contains_key("0099"));
        assert_eq!(timeline.told.len(), 100, "what was told is known for good");
    }

    #[test]
    fn what_is_seen_again_is_dropped_again_and_changes_nothing() {
        let mut once = retried(100);
        assert!(once.shorten(few(40)));
        let mut again = once.clone();
        again.merge(&retried(100));
        assert!(again.shorten(few(40)));
        assert_eq!(once, again);
    }

    #[test]
    fn what_fits_is_left_alone_and_what_never_does_is_said() {
        let mut timeline = retried(10);
        assert!(timeline.shorten(few(10)));
        assert_eq!(timeline, retried(10));
        assert!(!timeline.shorten(|_| false));
    }
}
