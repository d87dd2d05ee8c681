use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Central European time by its rule, so that no test needs the system's table of names.
fn central() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

#[track_caller]
fn expect(cron: &str, zone: &TimeZone, after: &str, due: &[&str]) {
    let cron = Cron::parse(cron).unwrap();
    let found: Vec<Timestamp> = cron.after(at(after), zone).take(due.len()).collect();
    assert_eq!(found, due.iter().map(|due| at(due)).collect::<Vec<_>>());
}

#[test]
fn the_usual_fields_are_understood() {
    let utc = TimeZone::UTC;
    expect("0 3 * * *", &utc, "2026-11-22T03:00:00Z", &["2026-11-23T03:00:00Z", "2026-11-24T03:00:00Z"]);
    expect("*/20 8-9 * * mon-fri", &utc, "2026-11-20T09:30:00Z", &["2026-11-20T09:40:00Z", "2026-11-23T08:00:00Z"]);
    expect("0 0 29 feb *", &utc, "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    expect("0 0 l * *", &utc, "2026-02-01T00:00:00Z", &["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
    expect("0 9 * * MON#1,friL", &utc, "2026-11-01T00:00:00Z", &["2026-11-02T09:00:00Z", "2026-11-27T09:00:00Z"]);
    expect("0 0 13 * fri", &utc, "2026-11-01T00:00:00Z", &["2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z"]);
    expect("5/25 0 * * 7", &utc, "2026-11-01T12:00:00Z", &["2026-11-08T00:05:00Z", "2026-11-08T00:30:00Z"]);
    expect("@hourly", &utc, "2026-11-01T12:00:00Z", &["2026-11-01T13:00:00Z"]);
    expect("0 0 */2 * mon", &utc, "2026-11-01T12:00:00Z", &["2026-11-09T00:00:00Z"]);
}

#[test]
fn a_time_that_the_clock_leaps_over_counts_once_at_the_end_of_the_leap() {
    // On 2026-03-29 the clock goes from 02:00 to 03:00, which is 01:00 in UTC.
    let days = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    expect("30 2 * * *", &central(), "2026-03-27T12:00:00Z", &days);
    expect("0,30 2,3 29 3 *", &central(), "2026-03-27T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    expect("0 * * * *", &central(), "2026-03-28T23:30:00Z", &["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"]);
}

#[test]
fn a_time_that_the_clock_shows_twice_counts_once_unless_the_schedule_goes_by_elapsed_time() {
    // On 2026-10-25 the hour from 02:00 comes twice, at 00:00 and 01:00 in UTC.
    expect("30 2 * * *", &central(), "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    let all = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"];
    expect("30 * * * *", &central(), "2026-10-25T00:00:00Z", &all);
}

#[test]
fn clocks_that_are_set_back_over_midnight_keep_the_order() {
    // From 00:30 back to 23:30 on the last Sunday of October.
    let zone = TimeZone::posix("AAA0BBB-1,M3.5.0/2,M10.5.0/0:30").unwrap();
    let cron = Cron::parse("*/15 * * * *").unwrap();
    let times: Vec<Timestamp> = cron.after(at("2026-10-23T20:00:00Z"), &zone).take(400).collect();
    assert!(times.is_sorted());
    assert!(times.windows(2).all(|pair| pair[1].since(pair[0]).as_secs() == 900), "{times:?}");
}

#[test]
fn nonsense_is_refused_with_its_field() {
    for (text, part) in [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("60 * * * *", "'60' is no minute"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of the month"),
        ("* * * foo *", "'foo' is no month"),
        ("* * * * 8", "'8' is no day of the week"),
        ("*/0 * * * *", "no step"),
        ("5-1 * * * *", "backwards"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 * * mon#6", "weeks from 1 to 5"),
        ("+1 * * * *", "no minute"),
        (",, * * * *", "no minute"),
        ("1-2-3 * * * *", "no minute"),
    ] {
        let fault = Cron::parse(text).unwrap_err();
        assert!(fault.message().contains(part), "{text}: {fault}");
    }
    assert!(Cron::parse(&"1,".repeat(5000)).is_err());
}

#[test]
fn a_year_of_minutes_is_complete_in_a_zone_with_changes() {
    let cron = Cron::parse("* * * * *").unwrap();
    let zone = central();
    let count =
        cron.after(at("2025-12-31T23:00:00Z"), &zone).take_while(|due| *due <= at("2026-12-31T23:00:00Z")).count();
    assert_eq!(count, 365 * 24 * 60);
}
