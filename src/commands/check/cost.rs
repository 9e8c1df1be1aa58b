//! What one request to a workflow can cost at worst, by model and in all.

use std::iter;

use crate::config::{Config, Plan, Spending};

/// One workflow's worst case.
pub(super) struct Cost {
    /// Each model's part, in the order in which the plan names them.
    pub(super) models: Vec<ModelCost>,
    pub(super) total: Spending,
    /// `None` when a price is missing.
    pub(super) dollars: Option<f64>,
    /// The models whose price nobody wrote.
    pub(super) missing: Vec<String>,
}

/// One model's part of it.
pub(super) struct ModelCost {
    pub(super) name: String,
    pub(super) spending: Spending,
    pub(super) dollars: Option<f64>,
}

pub(super) fn of(config: &Config, plan: &Plan) -> Cost {
    let mut total = Spending::default();
    let models: Vec<ModelCost> = plan
        .worst_case(&config.models)
        .into_iter()
        .map(|(name, spending)| {
            total.add(spending);
            let price = config.models.get(&name).and_then(|model| model.price);
            ModelCost { name, spending, dollars: price.map(|price| spending.dollars(&price)) }
        })
        .collect();
    let dollars = models.iter().map(|model| model.dollars).sum();
    let missing = models.iter().filter(|model| model.dollars.is_none());
    let missing = missing.map(|model| model.name.clone()).collect();
    Cost { models, total, dollars, missing }
}

impl Cost {
    /// Its table: a row of headings, one for each model, one for the total.
    pub(super) fn rows(&self) -> Vec<[String; 5]> {
        let headings = ["", "calls", "tokens in", "tokens out", "cost"].map(str::to_owned);
        let row = |name: &str, of: &Spending, dollars: Option<f64>| {
            let Spending { calls, input_tokens, output_tokens } = of;
            let dollars =
                dollars.map_or_else(|| "-".to_owned(), |dollars| format!("${dollars:.4}"));
            [
                name.to_owned(),
                calls.to_string(),
                input_tokens.to_string(),
                output_tokens.to_string(),
                dollars,
            ]
        };
        let each = self.models.iter().map(|one| row(&one.name, &one.spending, one.dollars));
        let total = row("total", &self.total, self.dollars);
        iter::once(headings).chain(each).chain([total]).collect()
    }
}
