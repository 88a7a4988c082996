//! The sweep's steps over deployments: red alarms that nobody acted on, and deployments that the ledger does
//! not know as they are.

use jiff::SignedDuration;
use signalbox_decision::claim::digest;
use signalbox_decision::sweep::releases::{Group, RedAlarm, Release, Unheard, is_behind, unheard};
use signalbox_decision::timeline::{Subject, Timeline, tell};
use tracing::info;

use crate::alarms::red;
use crate::app::Config;
use crate::effects::{hand_over, send};
use crate::error::{Error, Listed};
use crate::gather::RECENT;
use crate::handler::Sweep;
use crate::synthesized;

/// Kept for runs and deployments by the tags of red alarms, each of which takes a call.
const FOR_RUNS: SignedDuration = SignedDuration::from_secs(120);

impl Sweep<'_> {
    /// Lets roll-back hear again of every alarm that is red while a deployment or bake window of its is open
    /// and no rollback is recorded.
    ///
    /// Under no claim: as long as that is so, each sweep says it again. Roll-back reads everything afresh, does
    /// each effect once, and knows a late event of the same change as the same.
    pub(crate) async fn look_at_alarms(&mut self, groups: &[Group]) -> Result<(), Error> {
        if groups.is_empty() {
            return Ok(());
        }
        let Listed { read: red, cut } = red(self.app).await?;
        let alarms: Vec<RedAlarm> = red.iter().map(|red| red.alarm.clone()).collect();
        self.let_roll_back_hear(groups, &alarms).await;
        // Then what only a tag links: that takes a call for each alarm.
        let mut by_tag = groups.to_vec();
        by_tag.iter_mut().for_each(|group| group.alarms.clear());
        for red in &red {
            let name = &red.alarm.name;
            if groups.iter().any(|group| group.alarms.contains(name)) {
                continue;
            }
            if self.is_out_of_time(FOR_RUNS) {
                self.note::<()>(Err(Error::OutOfTime("alarms' tags")));
                break;
            }
            // One that cannot be read keeps no other from being heard.
            let Some(tagged) = self.note(red.tagged(self.app).await) else {
                continue;
            };
            for group in &mut by_tag {
                if tagged.iter().any(|tag| tag == group.name.as_str()) {
                    group.alarms.push(name.clone());
                }
            }
        }
        self.let_roll_back_hear(&by_tag, &alarms).await;
        cut.map_or(Ok(()), Err)
    }

    async fn let_roll_back_hear(&mut self, groups: &[Group], alarms: &[RedAlarm]) {
        for unheard in unheard(self.invocation.now, self.app.config.bake, groups, alarms) {
            let heard = self.let_roll_back_hear_of(&unheard).await;
            self.note(heard);
        }
    }

    async fn let_roll_back_hear_of(&mut self, unheard: &Unheard<'_>) -> Result<(), Error> {
        let Config {
            region, roll_back, ..
        } = &self.app.config;
        let mut unrecorded = None;
        for release in &unheard.releases {
            if self
                .app
                .ledger
                .load_rollback(release.id.as_str())
                .await?
                .is_none()
            {
                unrecorded = Some(release);
            }
        }
        let Some(release) = unrecorded else {
            return Ok(());
        };
        let event = synthesized::alarm_raised(unheard.alarm, region, self.invocation.now);
        send(self.app, roll_back, &event).await?;
        info!(alarm = %unheard.alarm.name, deployment = %release.id, "a red alarm that nobody acted on");
        self.outcome.alarms.push(unheard.alarm.name.to_string());
        Ok(())
    }

    /// Makes the ledger agree with CodeDeploy, once the runs' timelines were looked at.
    ///
    /// What ended long ago was looked at by hundreds of sweeps; its run is no longer looked at either.
    pub(crate) async fn look_at_deployments(&mut self, groups: &[Group]) -> Result<(), Error> {
        let now = self.invocation.now;
        for group in groups {
            for release in &group.releases {
                let is_over = release.state.is_final()
                    && release
                        .ended
                        .is_some_and(|ended| now.duration_since(ended) >= RECENT);
                if is_over || !is_behind(release, self.deployments.get(release.id.as_str())) {
                    continue;
                }
                if self.is_out_of_time(SignedDuration::ZERO) {
                    return Err(Error::OutOfTime("deployments"));
                }
                self.look_at_deployment(group, release).await?;
            }
        }
        Ok(())
    }

    /// About a deployment that no run's timeline has as it is: it may have one of its own.
    async fn look_at_deployment(&mut self, group: &Group, release: &Release) -> Result<(), Error> {
        let Config {
            application,
            region,
            track_run,
            ..
        } = &self.app.config;
        let subject = Subject::Deployment {
            id: release.id.clone(),
        };
        let own: Timeline = self.app.ledger.load_timeline(&subject).await?.timeline;
        let state = own
            .deployments
            .get(release.id.as_str())
            .map(|own| &own.progress.state);
        if !is_behind(release, state) && tell::due(&subject, &own, region).is_empty() {
            return Ok(());
        }
        let name = digest(&["deployment", release.id.as_str(), &release.state.to_string()]);
        let event = synthesized::deployment_changed(application, &group.name, release, region);
        if hand_over(
            self.app,
            "sweep-deployment",
            &name,
            track_run,
            &event,
            self.invocation,
        )
        .await?
        {
            info!(deployment = %release.id, state = %release.state, "handed over");
            self.outcome.deployments += 1;
        }
        Ok(())
    }
}
