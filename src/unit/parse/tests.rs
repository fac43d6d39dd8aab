use super::*;
use proptest::prelude::*;

fn refuses<Q: Quantity>(texts: &[&str]) {
    for text in texts {
        assert!(Q::parse(text).is_none(), "{text:?} is not {}", Q::NOUN);
    }
}

#[test]
fn reads_what_people_write() {
    assert_eq!("+18%".parse(), Ok(Change(0.18)));
    assert_eq!("-7.5 %".parse(), Ok(Change(-0.075)));
    assert_eq!("+430%".parse(), Ok(Change(4.3)));
    assert_eq!("3.2x".parse(), Ok(Factor(3.2)));
    assert_eq!("35%".parse(), Ok(Share(0.35)));
    assert_eq!("0.35".parse(), Ok(Share(0.35)));
    assert_eq!("12/s".parse(), Ok(Rate(12.0)));
    assert_eq!("90/min".parse(), Ok(Rate(1.5)));
    assert_eq!("3600 / h".parse(), Ok(Rate(1.0)));
    assert_eq!("256 KiB".parse(), Ok(ByteSize(262_144)));
    assert_eq!("1.5 GB".parse(), Ok(ByteSize(1_500_000_000)));
    assert_eq!("20 Mbit/s".parse(), Ok(BitRate(2_500_000.0)));
    assert_eq!("40 MiB/s".parse(), Ok(BitRate(41_943_040.0)));
    assert_eq!("+08:00".parse(), Ok(UtcOffset(28_800)));
    assert_eq!("-03:30".parse(), Ok(UtcOffset(-12_600)));
    assert_eq!(parse_duration("2h 30m"), Ok(Duration::from_secs(9000)));
}

#[test]
fn refuses_what_could_mean_something_else() {
    refuses::<Change>(&["18%", "+18", "+-3%", "-101%", "+inf%", "+ 3%", "", "%", "+%"]);
    refuses::<Factor>(&["3.2", "x", "-1x", "3 times", "infx", "1e3x"]);
    refuses::<Share>(&["140%", "-5%", "1.01", "%", "35 percent", "nan"]);
    refuses::<Rate>(&["12", "12/sec", "/s", "12/d", "-1/s", "12 s", "12/s/s"]);
    refuses::<ByteSize>(&["4", "4 M", "-1 MiB", "99999999 EiB", "MiB", "", "4 Mbit"]);
    refuses::<BitRate>(&["20", "20 Mbit", "20 mbit/s", "Mbit/s", "-1 B/s", "é/s"]);
    refuses::<UtcOffset>(&["08:00", "+8:00", "+08", "+15:00", "-12:30", "+08:60", "+0é:00", "++1:00"]);
    refuses::<Duration>(&["", "90", "fast", "11y", "-1s", "1 fortnight", "584542046090y 1000000000ns"]);
}

#[test]
fn the_message_names_the_accepted_forms() {
    let message = |error: Option<UnitError>| error.map(|error| error.to_string());
    assert_eq!(
        message("12".parse::<Rate>().err()).as_deref(),
        Some("must be a rate, for example \"12/s\", \"90/min\" or \"3000/h\"")
    );
    assert_eq!(
        message(parse_duration("soon").err()).as_deref(),
        Some("must be a duration of at most ten years, for example \"90s\", \"15m\", \"2h 30m\" or \"3d\"")
    );
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_map(f64::abs).prop_filter("finite", |value| value.is_finite())
}

fn back<Q: Quantity>(quantity: &Q) -> Option<Q> {
    Q::parse(&quantity.write())
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in finite(), part in 0.0..=1.0f64, size in 0..u64::MAX, minutes in -720..=840i32) {
        prop_assert_eq!(back(&Change(part * 1e3)), Some(Change(part * 1e3)));
        prop_assert_eq!(back(&Change(-part)), Some(Change(-part)));
        prop_assert_eq!(back(&Share(part)), Some(Share(part)));
        prop_assert_eq!(back(&Factor(value)), Some(Factor(value)));
        prop_assert_eq!(back(&Rate(value)), Some(Rate(value)));
        prop_assert_eq!(back(&BitRate(part * 1e12)), Some(BitRate(part * 1e12)));
        prop_assert_eq!(back(&ByteSize(size)), Some(ByteSize(size)));
        prop_assert_eq!(back(&ByteSize(size << 30)), Some(ByteSize(size << 30)));
        prop_assert_eq!(back(&UtcOffset(minutes * 60)), Some(UtcOffset(minutes * 60)));
    }

    #[test]
    fn durations_are_read_back(seconds in 0..3653 * 86_400u64, nanoseconds in 0..1_000_000_000u32) {
        let duration = Duration::new(seconds, nanoseconds);
        prop_assert_eq!(back(&duration), Some(duration));
    }

    #[test]
    fn no_text_panics_or_gives_an_infinite_number(text in "[-+0-9. a-zA-Z/%µ:]{0,24}|\\PC{0,12}") {
        let numbers = [
            Change::parse(&text).map(|it| it.0),
            Factor::parse(&text).map(|it| it.0),
            Share::parse(&text).map(|it| it.0),
            Rate::parse(&text).map(|it| it.0),
            BitRate::parse(&text).map(|it| it.0),
        ];
        prop_assert!(numbers.iter().flatten().all(|number| number.is_finite()));
        let _ = (ByteSize::parse(&text), UtcOffset::parse(&text), Duration::parse(&text));
    }
}
