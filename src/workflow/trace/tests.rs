use super::*;

#[test]
fn a_temperature_is_shown_as_it_was_written() {
    let record = CallRecord { temperature: Some(0.3), ..CallRecord::default() };
    let shown = serde_json::to_value(&record).unwrap();
    assert_eq!(shown["temperature"].to_string(), "0.3");
}
