//! Days, weeks and months, by the calendar in UTC, and what was used in the ones that run.

use std::time::Duration;

use jiff::{Timestamp, ToSpan, civil::Date, tz::Offset};
use serde::{Deserialize, Serialize};

use crate::{config::Period, types::Amount};

/// A clock that was set back by less than this is still in the same period.
const SET_BACK: Duration = Duration::from_secs(24 * 60 * 60);

/// What was used in the periods that run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::server) struct Periods {
    day: Used,
    week: Used,
    month: Used,
}

/// What was used since the beginning of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    /// The period's beginning and end, in seconds since 1970.
    from: i64,
    until: i64,
    calls: u64,
    tokens: u64,
    picodollars: u64,
}

impl Periods {
    /// As it is kept.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What was kept; `None`: it is not understood.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// What was used of a period, and its end.
    pub(in crate::server) fn of(&mut self, per: Period, now: Timestamp) -> (Amount, Timestamp) {
        let used = self.current(per, now);
        let until = Timestamp::from_second(used.until).unwrap_or(Timestamp::MAX);
        (used.amount(), until)
    }

    /// Adds to all of them.
    pub(super) fn add(&mut self, amount: Amount, now: Timestamp) {
        for per in [Period::Day, Period::Week, Period::Month] {
            self.current(per, now).add(amount);
        }
    }

    /// The one that runs, which may begin now.
    fn current(&mut self, per: Period, now: Timestamp) -> &mut Used {
        let used = match per {
            Period::Day => &mut self.day,
            Period::Week => &mut self.week,
            Period::Month => &mut self.month,
        };
        let second = now.as_second();
        let back = i64::try_from(SET_BACK.as_secs()).unwrap_or_default();
        let runs = second < used.until && second >= used.from.saturating_sub(back);
        if !runs {
            let (from, until) = bounds(per, now);
            *used = Used { from, until, ..Used::default() };
        }
        used
    }
}

impl Used {
    fn amount(&self) -> Amount {
        Amount { calls: self.calls, tokens: self.tokens, picodollars: self.picodollars }
    }

    fn add(&mut self, amount: Amount) {
        let mut sum = self.amount();
        sum += amount;
        (self.calls, self.tokens, self.picodollars) = (sum.calls, sum.tokens, sum.picodollars);
    }
}

/// When the period of a moment begins and ends, in seconds since 1970.
fn bounds(per: Period, now: Timestamp) -> (i64, i64) {
    let today = Offset::UTC.to_datetime(now).date();
    let (first, next) = match per {
        Period::Day => (Some(today), today.tomorrow().ok()),
        Period::Week => {
            let since_monday = today.weekday().to_monday_zero_offset();
            let monday = today.checked_sub(i64::from(since_monday).days()).ok();
            (monday, monday.and_then(|monday| monday.checked_add(7.days()).ok()))
        }
        Period::Month => {
            let first = today.first_of_month();
            (Some(first), first.checked_add(1.month()).ok())
        }
    };
    let second = |day: Option<Date>| {
        let midnight = day.and_then(|day| Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok());
        midnight.map(Timestamp::as_second)
    };
    (second(first).unwrap_or(i64::MIN), second(next).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_are_the_calendars() {
        for (now, per, from, until) in [
            ("2026-12-01T09:30:00Z", Period::Day, "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"),
            ("2026-12-01T00:00:00Z", Period::Day, "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"),
            ("2026-12-01T09:30:00Z", Period::Week, "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"),
            ("2026-12-06T23:59:59Z", Period::Week, "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"),
            ("2026-12-31T23:59:59Z", Period::Month, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-29T12:00:00Z", Period::Month, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("1969-12-31T12:00:00Z", Period::Day, "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            let want = (at(from).as_second(), at(until).as_second());
            assert_eq!(bounds(per, at(now)), want, "{now} {per:?}");
        }
    }

    #[test]
    fn what_was_used_is_forgotten_when_its_period_is_over() {
        let mut periods = Periods::default();
        let some = Amount { calls: 1, tokens: 10, picodollars: 100 };
        periods.add(some, at("2026-12-06T23:00:00Z"));
        periods.add(some, at("2026-12-07T01:00:00Z"));
        let mut used = |per, now| periods.of(per, at(now)).0;
        assert_eq!(used(Period::Day, "2026-12-07T02:00:00Z"), some);
        assert_eq!(used(Period::Week, "2026-12-07T02:00:00Z"), some);
        assert_eq!(used(Period::Month, "2026-12-07T02:00:00Z"), some.times(2));
        // A clock that is set back by a moment gives nobody a new budget; one that was far ahead does.
        assert_eq!(used(Period::Day, "2026-12-06T23:59:00Z"), some);
        assert_eq!(used(Period::Month, "2024-12-06T23:59:00Z"), Amount::default());
        assert_eq!(Periods::of_text(&periods.text()), Some(periods));
        assert_eq!(Periods::of_text("{}"), None);
    }
}
