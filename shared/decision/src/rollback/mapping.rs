//! Which deployment groups an alarm speaks for.
//!
//! In this order: the group lists it; a tag on the alarm names the group; it is a composite alarm, and one
//! of the group's alarms is among its children. The last holds only for a child that is itself in state
//! ALARM: of `ALARM("a") OR ALARM("b")` the group of `b` is not to suffer for `a`, and what a rule only
//! negates (`NOT ALARM("maintenance")`) is not what made it go off. Then the child's own time counts: a
//! composite may change long after the child that the group lists.

use super::facts::{AlarmNow, Group};
use crate::names::AlarmName;

/// The tag of an alarm that names the deployment group for which it speaks.
pub const GROUP_TAG: &str = "signalbox:deployment-group";

/// An alarm as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What it is now; `None` where it no longer exists.
    pub now: Option<AlarmNow>,
    /// The deployment groups that its tag names.
    pub tagged: Vec<String>,
    /// For a composite alarm: what its rule names, as it is itself.
    pub children: Vec<(AlarmName, AlarmNow)>,
}

/// Why an alarm speaks for a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The group lists it.
    Listed,
    /// Its tag names the group.
    Tagged,
    /// The group lists this child of it, which is in state ALARM.
    Child(AlarmName),
}

/// Why `alarm` speaks for `group`, if it does.
#[must_use]
pub fn link(alarm: &AlarmName, reading: &Reading, group: &Group) -> Option<Link> {
    if group.alarms.contains(alarm) {
        return Some(Link::Listed);
    }
    if reading.tagged.iter().any(|name| name == group.name.as_str()) {
        return Some(Link::Tagged);
    }
    let child = reading
        .children
        .iter()
        .find(|(child, now)| now.in_alarm && group.alarms.contains(child));
    child.map(|(child, _)| Link::Child(child.clone()))
}

/// What is to be judged for a group that is linked so: the alarm, or the child with the composite's say in
/// whether it counts.
#[must_use]
pub fn judged(reading: &Reading, link: Option<&Link>) -> Option<AlarmNow> {
    let now = reading.now.clone()?;
    let Some(Link::Child(name)) = link else {
        return Some(now);
    };
    let (_, child) = reading.children.iter().find(|(child, _)| child == name)?;
    Some(AlarmNow {
        in_alarm: now.in_alarm && child.in_alarm,
        suppressed: now.suppressed || child.suppressed,
        ..child.clone()
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::names::DeploymentGroupName;

    fn name(name: &str) -> AlarmName {
        AlarmName::new(name).unwrap()
    }

    fn group(own: &str, alarms: &[&str]) -> Group {
        Group {
            name: DeploymentGroupName::new(own).unwrap(),
            alarms: alarms.iter().map(|alarm| name(alarm)).collect(),
            codedeploy_acts: false,
        }
    }

    fn now(in_alarm: bool, second: i64) -> AlarmNow {
        AlarmNow {
            in_alarm,
            since: Timestamp::from_second(second).unwrap(),
            suppressed: false,
            reason: String::new(),
        }
    }

    #[test]
    fn of_two_groups_with_one_alarm_each_the_right_one_is_meant() {
        let reading = Reading {
            now: Some(now(true, 0)),
            ..Reading::default()
        };
        assert_eq!(
            link(&name("a"), &reading, &group("one", &["a"])),
            Some(Link::Listed)
        );
        assert_eq!(link(&name("a"), &reading, &group("two", &["b"])), None);
    }

    #[test]
    fn a_tag_names_the_group_of_an_alarm_that_no_group_lists() {
        let reading = Reading {
            now: Some(now(true, 0)),
            tagged: vec!["two".to_owned()],
            ..Reading::default()
        };
        assert_eq!(link(&name("a"), &reading, &group("one", &[])), None);
        assert_eq!(link(&name("a"), &reading, &group("two", &[])), Some(Link::Tagged));
    }

    #[test]
    fn a_composite_speaks_for_the_groups_of_those_children_that_are_red() {
        let reading = Reading {
            now: Some(now(true, 50)),
            tagged: Vec::new(),
            children: vec![(name("red"), now(true, 10)), (name("green"), now(false, 20))],
        };
        let composite = name("all");
        let linked = link(&composite, &reading, &group("one", &["red"]));
        assert_eq!(linked, Some(Link::Child(name("red"))));
        assert_eq!(link(&composite, &reading, &group("two", &["green"])), None);
        let judged = judged(&reading, linked.as_ref()).unwrap();
        assert_eq!((judged.in_alarm, judged.since.as_second()), (true, 10));
    }

    #[test]
    fn what_is_suppressed_above_is_suppressed_below() {
        let mut composite = now(true, 50);
        composite.suppressed = true;
        let reading = Reading {
            now: Some(composite),
            tagged: Vec::new(),
            children: vec![(name("red"), now(true, 10))],
        };
        assert!(
            judged(&reading, Some(&Link::Child(name("red"))))
                .unwrap()
                .suppressed
        );
        assert_eq!(judged(&Reading::default(), Some(&Link::Listed)), None);
    }
}
