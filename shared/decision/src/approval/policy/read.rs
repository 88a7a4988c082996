//! From text to a policy: every value is looked at, and every mistake is noted with its place.

use std::collections::HashSet;
use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    Escalation, MAX_BYTES, OfficeHours, Policy, PolicyApprover, PolicyMistakes, SlackPlace, Superseded,
};
use crate::names::Approver;
use crate::text::shown;

/// CodePipeline's longest time-out of an approval action is 60 days (86,400 minutes).
const LONGEST: SignedDuration = SignedDuration::from_hours(60 * 24);
const MAX_REMINDERS: usize = 20;

pub(super) fn policy(text: &str) -> Result<Policy, PolicyMistakes> {
    if text.trim().is_empty() {
        return Err(PolicyMistakes::one("the document is empty"));
    }
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        return Err(PolicyMistakes::one(format!(
            "the document has {bytes} bytes; at most {MAX_BYTES} are taken"
        )));
    }
    let node: Node = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        PolicyMistakes::one(format!(
            "line {line}, column {column}: this is no JSON document ({:?})",
            error.classify()
        ))
    })?;
    let mut reader = Reader::default();
    let read = reader.policy(node);
    match (read, PolicyMistakes::of(reader.mistakes)) {
        (Some(policy), None) => Ok(policy),
        (_, Some(mistakes)) => Err(mistakes),
        (None, None) => Err(PolicyMistakes::one("the document says nothing")),
    }
}

/// JSON as written: a field that is there twice stays there twice, so that it is seen.
enum Node {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Fields(Vec<(String, Node)>),
}

impl Node {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Fields(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
                Ok(serde_json::Number::from_f64(value).map_or(Node::Null, Node::Number))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Node::List(nodes))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Node::Fields(fields))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    fn mistake(&mut self, place: &str, problem: impl fmt::Display) {
        self.mistakes.push(format!("{place}: {problem}"));
    }

    fn wrong<T>(&mut self, place: &str, wanted: &str, node: &Node) -> Option<T> {
        self.mistake(place, format_args!("{wanted} belongs here, not {}", node.kind()));
        None
    }

    /// The object's fields in the order of `known`; what is unknown or there twice is a mistake, and
    /// `null` is as good as left out.
    fn fields<const N: usize>(
        &mut self,
        place: &str,
        node: Node,
        known: [&str; N],
    ) -> Option<[Option<Node>; N]> {
        let Node::Fields(fields) = node else {
            return self.wrong(place, "an object", &node);
        };
        let mut found = [const { None }; N];
        for (name, node) in fields {
            let Some(slot) = known
                .iter()
                .position(|known| *known == name)
                .and_then(|at| found.get_mut(at))
            else {
                let known = known.join(", ");
                self.mistake(
                    place,
                    format_args!("{:?} is not known here; known are {known}", shown(&name, 40)),
                );
                continue;
            };
            if slot.is_some() {
                self.mistake(place, format_args!("{name} is there twice"));
            }
            *slot = Some(node);
        }
        Some(found.map(|node| node.filter(|node| !matches!(node, Node::Null))))
    }

    fn policy(&mut self, node: Node) -> Option<Policy> {
        let [
            version,
            approvers,
            quorum,
            author,
            reminders,
            escalation,
            notice,
            superseded,
            hours,
            slack,
        ] = self.fields(
            "the document",
            node,
            [
                "version",
                "approvers",
                "quorum",
                "author_may_approve",
                "reminders",
                "escalation",
                "expiry_notice",
                "superseded",
                "office_hours",
                "slack",
            ],
        )?;
        let version = self.required("version", version);
        if let Some(version) = version {
            match version {
                Node::Number(number) if number.as_u64() == Some(1) => {}
                Node::Number(_) => self.mistake("version", "only version 1 is known"),
                other => self.wrong("version", "the number 1", &other).unwrap_or_default(),
            }
        }
        let approvers = self
            .required("approvers", approvers)
            .and_then(|node| self.approvers(node));
        let quorum = quorum.map_or(Some(1), |node| self.quorum(&node, approvers.as_deref()));
        let author_may_approve = author.map_or(Some(false), |node| match node {
            Node::Bool(value) => Some(value),
            other => self.wrong("author_may_approve", "true or false", &other),
        });
        let reminders = reminders.map_or_else(|| Some(Vec::new()), |node| self.reminders(node));
        let escalation = self.optional(escalation, Self::escalation);
        let expiry_notice = self.optional(notice, |reader, node| reader.duration("expiry_notice", &node));
        let superseded = superseded.map_or(Some(Superseded::Warn), |node| {
            let text = self.text("superseded", &node)?;
            match text {
                "warn" => Some(Superseded::Warn),
                "reject" => Some(Superseded::Reject),
                _ => {
                    self.mistake("superseded", "it is neither \"warn\" nor \"reject\"");
                    None
                }
            }
        });
        let office_hours = self.optional(hours, Self::office_hours);
        let slack = self.optional(slack, Self::slack);
        Some(Policy {
            approvers: approvers?,
            quorum: quorum?,
            author_may_approve: author_may_approve?,
            reminders: reminders?,
            escalation: escalation?,
            expiry_notice: expiry_notice?,
            superseded: superseded?,
            office_hours: office_hours?,
            slack: slack?,
        })
    }

    fn required(&mut self, place: &str, node: Option<Node>) -> Option<Node> {
        if node.is_none() {
            self.mistake(place, "it is missing");
        }
        node
    }

    fn optional<T>(
        &mut self,
        node: Option<Node>,
        read: impl FnOnce(&mut Self, Node) -> Option<T>,
    ) -> Option<Option<T>> {
        match node {
            None => Some(None),
            Some(node) => read(self, node).map(Some),
        }
    }

    fn text<'a>(&mut self, place: &str, node: &'a Node) -> Option<&'a str> {
        match node {
            Node::Text(text) => Some(text),
            other => self.wrong(place, "a text", other),
        }
    }

    fn list(&mut self, place: &str, node: Node) -> Option<Vec<Node>> {
        match node {
            Node::List(list) => Some(list),
            other => self.wrong(place, "a list", &other),
        }
    }

    fn address(&mut self, place: &str, node: Option<Node>) -> Option<Approver> {
        let node = self.required(place, node)?;
        let text = self.text(place, &node)?;
        let halves = text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
        if !halves {
            let problem = format!("{:?} is no e-mail address", shown(text, 60));
            self.mistake(place, problem);
            return None;
        }
        Approver::new(text)
            .map_err(|error| self.mistake(place, shown(&error.to_string(), 200)))
            .ok()
    }

    fn id(&mut self, place: &str, node: &Node, first: &[char]) -> Option<String> {
        let text = self.text(place, node)?;
        let sound = text.starts_with(first)
            && (9..=20).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        if !sound {
            let first: Vec<String> = first.iter().map(|c| format!("{c}…")).collect();
            let problem = format!(
                "{:?} is no id of Slack's ({}, 9 to 20 capitals and digits)",
                shown(text, 40),
                first.join(" or ")
            );
            self.mistake(place, problem);
            return None;
        }
        Some(text.to_owned())
    }

    fn approvers(&mut self, node: Node) -> Option<Vec<PolicyApprover>> {
        let list = self.list("approvers", node)?;
        if list.is_empty() {
            self.mistake("approvers", "nobody is on the list");
            return None;
        }
        let (mut addresses, mut slacks) = (HashSet::new(), HashSet::new());
        let wanted = list.len();
        let mut approvers = Vec::new();
        for (at, node) in list.into_iter().enumerate() {
            let place = format!("approvers[{at}]");
            let Some([email, slack]) = self.fields(&place, node, ["email", "slack"]) else {
                continue;
            };
            let email = self.address(&format!("{place}.email"), email);
            let slack = self.optional(slack, |reader, node| {
                reader.id(&format!("{place}.slack"), &node, &['U', 'W'])
            });
            if let Some(email) = &email
                && !addresses.insert(email.as_str().to_ascii_lowercase())
            {
                self.mistake(
                    &place,
                    format_args!("{} is on the list twice", shown(email.as_str(), 254)),
                );
            }
            if let Some(Some(slack)) = &slack
                && !slacks.insert(slack.clone())
            {
                self.mistake(
                    &place,
                    format_args!("the Slack user {slack} is on the list twice"),
                );
            }
            if let (Some(email), Some(slack)) = (email, slack) {
                approvers.push(PolicyApprover { email, slack });
            }
        }
        (approvers.len() == wanted).then_some(approvers)
    }

    fn quorum(&mut self, node: &Node, approvers: Option<&[PolicyApprover]>) -> Option<usize> {
        let Node::Number(number) = node else {
            return self.wrong("quorum", "a whole number", node);
        };
        let quorum = number.as_u64().and_then(|quorum| usize::try_from(quorum).ok());
        let Some(quorum) = quorum.filter(|quorum| *quorum >= 1) else {
            self.mistake("quorum", "it is a whole number from 1 on");
            return None;
        };
        if let Some(approvers) = approvers
            && quorum > approvers.len()
        {
            let count = approvers.len();
            self.mistake(
                "quorum",
                format_args!("{quorum} people have to approve, and only {count} may"),
            );
            return None;
        }
        Some(quorum)
    }

    fn duration(&mut self, place: &str, node: &Node) -> Option<SignedDuration> {
        let text = self.text(place, node)?;
        // ISO 8601 with hours at most: a day has 23 to 25 of them.
        match text.parse::<SignedDuration>() {
            Ok(duration)
                if text.starts_with("PT") && duration > SignedDuration::ZERO && duration <= LONGEST =>
            {
                Some(duration)
            }
            Ok(_) if text.starts_with("PT") => {
                self.mistake(
                    place,
                    format_args!("{text} is not between a second and 60 days (PT1440H)"),
                );
                None
            }
            _ => {
                let problem = format!("{:?} is no duration such as PT24H or PT90M", shown(text, 40));
                self.mistake(place, problem);
                None
            }
        }
    }

    fn reminders(&mut self, node: Node) -> Option<Vec<SignedDuration>> {
        let list = self.list("reminders", node)?;
        if list.len() > MAX_REMINDERS {
            self.mistake("reminders", format_args!("there are more than {MAX_REMINDERS}"));
            return None;
        }
        let wanted = list.len();
        let mut reminders: Vec<SignedDuration> = Vec::new();
        for (at, node) in list.iter().enumerate() {
            let place = format!("reminders[{at}]");
            let Some(duration) = self.duration(&place, node) else {
                continue;
            };
            if reminders.last().is_some_and(|last| *last >= duration) {
                self.mistake(&place, "it is not later than the one before");
            }
            reminders.push(duration);
        }
        (reminders.len() == wanted).then_some(reminders)
    }

    fn escalation(&mut self, node: Node) -> Option<Escalation> {
        let [after, contact] = self.fields("escalation", node, ["after", "contact"])?;
        let after = self
            .required("escalation.after", after)
            .and_then(|node| self.duration("escalation.after", &node));
        let contact = self.address("escalation.contact", contact);
        Some(Escalation {
            after: after?,
            contact: contact?,
        })
    }

    fn slack(&mut self, node: Node) -> Option<SlackPlace> {
        let [team, channel] = self.fields("slack", node, ["team", "channel"])?;
        let team = self
            .required("slack.team", team)
            .and_then(|node| self.id("slack.team", &node, &['T']));
        let channel = self
            .required("slack.channel", channel)
            .and_then(|node| self.id("slack.channel", &node, &['C', 'G']));
        Some(SlackPlace {
            team: team?,
            channel: channel?,
        })
    }

    fn office_hours(&mut self, node: Node) -> Option<OfficeHours> {
        let [zone, days, from, to] =
            self.fields("office_hours", node, ["time_zone", "days", "from", "to"])?;
        let zone = self.required("office_hours.time_zone", zone).and_then(|node| {
            let name = self.text("office_hours.time_zone", &node)?;
            let problem = format!("{:?} is no time zone such as Europe/Berlin", shown(name, 60));
            TimeZone::get(name)
                .map_err(|_| self.mistake("office_hours.time_zone", problem))
                .ok()
        });
        let days = self
            .required("office_hours.days", days)
            .and_then(|node| self.days(node));
        let from = self.time("office_hours.from", from);
        let to = self.time("office_hours.to", to);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            self.mistake(
                "office_hours",
                "they end before they begin; hours past midnight are not taken",
            );
        }
        Some(OfficeHours {
            zone: zone?,
            days: days?,
            from: from?,
            to: to?,
        })
    }

    fn days(&mut self, node: Node) -> Option<Vec<Weekday>> {
        const PLACE: &str = "office_hours.days";
        let list = self.list(PLACE, node)?;
        if list.is_empty() {
            self.mistake(PLACE, "there is no day on the list");
        }
        let mut days = Vec::new();
        for node in &list {
            let Some(text) = self.text(PLACE, node) else {
                continue;
            };
            let day = match text {
                "mon" => Weekday::Monday,
                "tue" => Weekday::Tuesday,
                "wed" => Weekday::Wednesday,
                "thu" => Weekday::Thursday,
                "fri" => Weekday::Friday,
                "sat" => Weekday::Saturday,
                "sun" => Weekday::Sunday,
                _ => {
                    let problem = format!(
                        "{:?} is none of mon, tue, wed, thu, fri, sat, sun",
                        shown(text, 40)
                    );
                    self.mistake(PLACE, problem);
                    continue;
                }
            };
            if days.contains(&day) {
                self.mistake(PLACE, format_args!("{text} is there twice"));
            }
            days.push(day);
        }
        (!days.is_empty()).then_some(days)
    }

    fn time(&mut self, place: &str, node: Option<Node>) -> Option<Time> {
        let node = self.required(place, node)?;
        let text = self.text(place, &node)?;
        let parsed = text.split_once(':').and_then(|(hour, minute)| {
            let two = |part: &str| (part.len() == 2).then(|| part.parse().ok()).flatten();
            Time::new(two(hour)?, two(minute)?, 0, 0).ok()
        });
        if parsed.is_none() {
            let problem = format!("{:?} is no time of day such as 08:00", shown(text, 40));
            self.mistake(place, problem);
        }
        parsed
    }
}
