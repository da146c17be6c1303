//! PostgreSQL's count of days and microseconds since 2000-01-01 ↔ dates of the Gregorian calendar.
//!
//! The count of days is Howard Hinnant's: years begin in March, so that the leap day is the last one, and eras of 400
//! years all have 146,097 days.

use crate::layout::Stamp;

pub const DAY: i64 = 86_400_000_000;
/// 0000-03-01 to 2000-01-01.
const EPOCH: i64 = 730_425;
const ERA: i64 = 146_097;

/// Days from 2000-01-01 to the date of a stamp.
pub fn days(stamp: &Stamp) -> i64 {
    let (month, day) = (i64::from(stamp.month), i64::from(stamp.day));
    let year = i64::from(stamp.year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA + day_of_era - EPOCH
}

/// Microseconds since midnight.
pub fn clock(stamp: &Stamp) -> i64 {
    let (hour, minute) = (i64::from(stamp.hour), i64::from(stamp.minute));
    ((hour * 60 + minute) * 60 + i64::from(stamp.second)) * 1_000_000 + i64::from(stamp.micros)
}

/// Microseconds since 2000-01-01 00:00:00.
pub fn micros(stamp: &Stamp) -> i64 {
    days(stamp) * DAY + clock(stamp)
}

/// Year (astronomical: 0 is 1 BC), month and day. Any number of days that a server can send is fine.
pub fn civil(days: i64) -> (i64, u8, u8) {
    let shifted = days + EPOCH;
    let era = shifted.div_euclid(ERA);
    let day_of_era = shifted.rem_euclid(ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |number: i64| u8::try_from(number).unwrap_or_default();
    (year, small(month), small(day))
}

/// The date, if Python has it.
pub fn date(days: i64) -> Option<Stamp> {
    let (year, month, day) = civil(days);
    let year = u16::try_from(year)
        .ok()
        .filter(|y| (1..=9999).contains(y))?;
    Some(Stamp {
        year,
        month,
        day,
        ..Stamp::default()
    })
}

/// The date and time, if Python has it.
pub fn stamp(micros: i64) -> Option<Stamp> {
    let date = date(micros.div_euclid(DAY))?;
    let clock = time(micros.rem_euclid(DAY))?;
    Some(Stamp {
        year: date.year,
        month: date.month,
        day: date.day,
        ..clock
    })
}

/// A time of day; `None` from 24:00:00 on.
pub fn time(micros: i64) -> Option<Stamp> {
    if !(0..DAY).contains(&micros) {
        return None;
    }
    let seconds = micros / 1_000_000;
    let small = |number: i64| u8::try_from(number).unwrap_or_default();
    Some(Stamp {
        hour: small(seconds / 3_600),
        minute: small(seconds / 60 % 60),
        second: small(seconds % 60),
        micros: u32::try_from(micros % 1_000_000).unwrap_or_default(),
        ..Stamp::default()
    })
}

/// Whether Python has such a date and time: a server may hold the month 0 or 31 February.
pub fn exists(stamp: &Stamp) -> bool {
    let last = match stamp.month {
        2 if is_leap(stamp.year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=9999).contains(&stamp.year)
        && (1..=last).contains(&stamp.day)
        && stamp.hour < 24
        && stamp.minute < 60
        && stamp.second < 60
        && stamp.micros < 1_000_000
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn at(year: u16, month: u8, day: u8) -> Stamp {
        Stamp {
            year,
            month,
            day,
            ..Stamp::default()
        }
    }

    #[test]
    fn days_of_the_server() {
        // SELECT 'date'::date - '2000-01-01'
        for (stamp, expected) in [
            (at(1, 1, 1), -730_119),
            (at(1582, 10, 15), -152_384),
            (at(1899, 12, 31), -36_525),
            (at(1999, 12, 31), -1),
            (at(2000, 1, 1), 0),
            (at(2000, 2, 29), 59),
            (at(2000, 3, 1), 60),
            (at(2024, 2, 29), 8_825),
            (at(9999, 12, 31), 2_921_939),
        ] {
            assert_eq!(days(&stamp), expected, "{stamp:?}");
            assert_eq!(date(expected), Some(stamp));
        }
    }

    #[test]
    fn every_day_of_all_years_comes_back() {
        let mut previous = civil(-730_120);
        assert_eq!(previous, (0, 12, 31));
        for day in -730_119..=2_921_939 {
            let stamp = date(day).unwrap();
            assert_eq!(days(&stamp), day);
            let now = civil(day);
            assert!(now > previous);
            previous = now;
        }
        assert_eq!(date(-730_120), None);
        assert_eq!(date(2_921_940), None);
    }

    #[test]
    fn exactly_the_days_of_the_calendar_exist() {
        let mut days = 0;
        for year in 0..=9999 {
            for month in 0..=13 {
                days += (0..=32)
                    .filter(|day| exists(&at(year, month, *day)))
                    .count();
            }
        }
        // 0001-01-01 to 9999-12-31
        assert_eq!(days, 3_652_059);
        assert!(
            exists(&at(2000, 2, 29)) && !exists(&at(1900, 2, 29)) && !exists(&at(10_000, 1, 1))
        );
        let late = |hour, minute, second, micros| Stamp {
            hour,
            minute,
            second,
            micros,
            ..at(2024, 1, 1)
        };
        assert!(exists(&late(23, 59, 59, 999_999)));
        for wrong in [
            late(24, 0, 0, 0),
            late(0, 60, 0, 0),
            late(0, 0, 60, 0),
            late(0, 0, 0, 1_000_000),
        ] {
            assert!(!exists(&wrong));
        }
    }

    #[test]
    fn the_last_microsecond() {
        let end = Stamp {
            hour: 23,
            minute: 59,
            second: 59,
            micros: 999_999,
            ..at(9999, 12, 31)
        };
        assert_eq!(stamp(micros(&end)), Some(end));
        assert_eq!(stamp(micros(&end) + 1), None);
        assert_eq!(micros(&at(2000, 1, 1)), 0);
        assert_eq!(stamp(-1).map(|s| (s.year, s.micros)), Some((1999, 999_999)));
        assert_eq!(time(DAY), None);
        // What the server sends for infinity, and the ends of its calendar.
        assert_eq!(stamp(i64::MAX), None);
        assert_eq!(stamp(i64::MIN), None);
        assert_eq!(civil(-2_451_545), (-4713, 11, 24));
    }
}
