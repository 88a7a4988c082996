//! The twin in memory holds what every backend must. (The acceptance suite runs the same against DynamoDB's
//! API.)

use signalbox_ledger::{Ledger, contract};

#[tokio::test(start_paused = true)]
async fn the_twin_in_memory_holds_the_contract() {
    contract::suite(&Ledger::memory()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_ledger_serves_many_suites() {
    let ledger = Ledger::memory();
    for _ in 0..3 {
        contract::suite(&ledger).await.unwrap();
    }
}
