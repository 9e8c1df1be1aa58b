//! How the time grows with the number of items.

use super::*;
use crate::types::growth::assert_linear;

#[test]
fn items_are_read_in_a_time_that_is_linear_in_their_number() {
    let call =
        |at: usize| json!({"type": "function_call", "call_id": format!("c{at}"), "name": "f"});
    let output = |at: usize| json!({"type": "function_call_output", "call_id": format!("c{at}"), "output": "ok"});
    let thought = |_| json!({"type": "reasoning", "summary": [{"text": "hm"}]});
    type Order = fn(usize) -> Vec<usize>;
    let orders: [(&str, Order); 2] = [
        ("in order", |count| (0..count).collect()),
        ("in reverse", |count| (0..count).rev().collect()),
    ];
    for (what, order) in orders {
        assert_linear(
            what,
            |count| {
                let thoughts = (0..count).map(thought).chain((0..count).map(call));
                json!({"input": thoughts.chain(order(count).into_iter().map(output)).collect::<Value>()})
            },
            |body| read(body).unwrap(),
        );
    }
}
