//! Values as they occur in several fields.

use std::fmt;

use jiff::SignedDuration;

use super::node::Node;
use super::{LONGEST, Reader};
use crate::names::Approver;
use crate::text::shown;

impl Reader {
    pub(super) fn mistake(&mut self, place: &str, problem: impl fmt::Display) {
        self.mistakes.push(format!("{place}: {problem}"));
    }

    pub(super) fn wrong<T>(&mut self, place: &str, wanted: &str, node: &Node) -> Option<T> {
        self.mistake(place, format_args!("{wanted} belongs here, not {}", node.kind()));
        None
    }

    /// The object's fields in the order of `known`; what is unknown or there twice is a mistake, and
    /// `null` is as good as left out.
    pub(super) fn fields<const N: usize>(
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

    pub(super) fn required(&mut self, place: &str, node: Option<Node>) -> Option<Node> {
        if node.is_none() {
            self.mistake(place, "it is missing");
        }
        node
    }

    pub(super) fn optional<T>(
        &mut self,
        node: Option<Node>,
        read: impl FnOnce(&mut Self, Node) -> Option<T>,
    ) -> Option<Option<T>> {
        match node {
            None => Some(None),
            Some(node) => read(self, node).map(Some),
        }
    }

    pub(super) fn text<'a>(&mut self, place: &str, node: &'a Node) -> Option<&'a str> {
        match node {
            Node::Text(text) => Some(text),
            other => self.wrong(place, "a text", other),
        }
    }

    pub(super) fn list(&mut self, place: &str, node: Node) -> Option<Vec<Node>> {
        match node {
            Node::List(list) => Some(list),
            other => self.wrong(place, "a list", &other),
        }
    }

    pub(super) fn address(&mut self, place: &str, node: Option<Node>) -> Option<Approver> {
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

    pub(super) fn id(&mut self, place: &str, node: &Node, first: &[char]) -> Option<String> {
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

    pub(super) fn duration(&mut self, place: &str, node: &Node) -> Option<SignedDuration> {
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
}
