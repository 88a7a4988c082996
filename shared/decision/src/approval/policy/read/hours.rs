//! Office hours.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::Reader;
use super::node::Node;
use crate::approval::policy::OfficeHours;
use crate::text::shown;

impl Reader {
    pub(super) fn office_hours(&mut self, node: Node) -> Option<OfficeHours> {
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
