//! Feeds bodies to the core: nothing may panic, take long or take much memory, and what comes out is a
//! profile again. `tests/unit/pprof/pprof_fuzz.py` then holds the bodies that were found against the oracle.
#![no_main]

use _native::delta::Computer;
use _native::inspect::inspect;
use _native::key::Seed;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 1 << 20;

fuzz_target!(|body: &[u8]| {
    let good = inspect(body, LIMIT);
    let mut computer = Computer::new(Seed::new(&[7; 16]));
    let first = computer.difference(body, LIMIT);
    if good.is_err() {
        assert!(first.is_err() && computer.size() == 0);
        return;
    }
    let Ok(first) = first else { return };
    assert!(first.is_none());
    let size = computer.size();
    let Ok(again) = computer.difference(body, LIMIT) else { panic!("what was taken once is refused") };
    assert_eq!(computer.size(), size);
    if let Some(difference) = again {
        let Ok(found) = inspect(&difference.raw, 2 * LIMIT) else { panic!("a difference is no profile") };
        assert_eq!(found.samples, difference.samples);
        assert!(found.has_period_type);
    }
});
