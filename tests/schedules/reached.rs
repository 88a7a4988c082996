//! How far schedules come: those that never come as far as what they should test prove nothing.

use std::ops::AddAssign;

use signalbox_decision::approval::Verdict;

use crate::world::World;

/// How often schedules came so far.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    runs: usize,
    approved: usize,
    released: usize,
    stopped: usize,
    redeployed: usize,
    crashes: usize,
}

impl Reached {
    pub(crate) fn all_often(&self) -> bool {
        let all = [
            self.runs,
            self.approved,
            self.released,
            self.stopped,
            self.redeployed,
            self.crashes,
        ];
        all.iter().all(|count| *count >= 20)
    }
}

impl AddAssign for Reached {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.approved += other.approved;
        self.released += other.released;
        self.stopped += other.stopped;
        self.redeployed += other.redeployed;
        self.crashes += other.crashes;
    }
}

/// What a schedule comes to before its end.
pub(crate) fn reached(schedule: &[u16]) -> Reached {
    let mut world = World::new(None);
    schedule.iter().for_each(|choice| world.choose(*choice));
    let aws = world.aws.borrow();
    let approved = aws
        .runs
        .iter()
        .filter(|run| matches!(run.answer, Some((Verdict::Approved, _))));
    Reached {
        runs: aws.runs.len(),
        approved: approved.count(),
        released: aws.runs.iter().filter(|run| run.deployment.is_some()).count(),
        stopped: aws.stopped.len(),
        redeployed: aws.redeployed.len(),
        crashes: world.crashes,
    }
}
