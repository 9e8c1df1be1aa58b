//! The files under `examples/` that are not programs.

use std::path::Path;

use chorus::config::Config;

#[test]
fn the_config_for_a_real_model_loads_without_a_remark() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/real-llm/config.toml");
    let config = Config::load(&file, &|_| None).expect("it is shipped to be used");
    assert_eq!(config.models.len(), 3);
    let temperatures: Vec<_> = config.models.values().map(|model| model.temperature).collect();
    assert_eq!(temperatures, [Some(0.2), Some(0.7), Some(1.1)]);
    let plan = &config.workflow.plan;
    assert!(plan.analyzer.is_some() && plan.selector.is_some() && plan.synthesizer.is_some());
    assert_eq!(plan.members.len(), 3);
    assert_eq!((&config.notices, &config.warnings), (&vec![], &vec![]));
}
