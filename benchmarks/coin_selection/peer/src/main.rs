//! Chooses coins with bdk_coin_select, for benchmarks.coin_selection.
//!
//! Reads a line per set: the target, the smallest change, the weight of a change output, the weight of spending it,
//! then value and weight of each coin. Writes a line per set: the places of the chosen coins, or "-" for none.
//! The fee rate is 1 sat per weight unit. Each coin gets its own fee on top of its value, and the target is less the
//! fee of the rest of the transaction, so that the selection is one of the plain values.

use bdk_coin_select::metrics::LowestFee;
use bdk_coin_select::{
    Candidate, ChangePolicy, CoinSelector, DrainWeights, FeeRate, Target, TargetFee, TargetOutputs,
};
use std::io::{stdin, BufRead};

const ROUNDS: usize = 100_000;
/// Rounding of weights to virtual bytes costs a few sat, which must not turn an exact selection into none.
const ROUNDING: u64 = 8;

fn choose(numbers: &[u64]) -> Option<Vec<String>> {
    let (amount, change, output_weight, spend_weight) = (numbers[0], numbers[1], numbers[2], numbers[3]);
    let candidates: Vec<Candidate> = numbers[4..]
        .chunks(2)
        .map(|coin| Candidate { value: coin[0] + coin[1], weight: coin[1], input_count: 1, is_segwit: true })
        .collect();
    let rate = FeeRate::from_sat_per_wu(1.0);
    let empty = CoinSelector::new(&candidates);
    let outputs = |value| TargetOutputs { value_sum: value, weight_sum: 172, n_outputs: 1 };
    let fixed = empty.weight(outputs(0), DrainWeights::NONE);
    let target = Target { fee: TargetFee::from_feerate(rate), outputs: outputs(amount - fixed - ROUNDING) };
    let drain = DrainWeights { output_weight, spend_weight, n_outputs: 1 };
    let change_policy = ChangePolicy::min_value(drain, change - output_weight - ROUNDING);
    let mut selector = empty;
    selector.run_bnb(LowestFee { target, long_term_feerate: rate, change_policy }, ROUNDS).ok()?;
    Some(selector.selected_indices().iter().map(|place| place.to_string()).collect())
}

fn main() {
    for line in stdin().lock().lines() {
        let line = line.expect("a line of numbers");
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        println!("{}", choose(&numbers).map_or("-".to_string(), |places| places.join(" ")));
    }
}
