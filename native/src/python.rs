//! The Python module `pyroscope_operator.pprof._native`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::import_exception;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::delta;
use crate::inspect as check;
use crate::key::Seed;
use crate::refusal::Refusal;

import_exception!(pyroscope_operator.errors, ProfileError);

/// The core of a `DeltaComputer`.
#[pyclass(frozen)]
struct Computer {
    core: Mutex<delta::Computer>,
    /// Of the state; known without waiting for a computation.
    size: AtomicUsize,
}

#[pymethods]
impl Computer {
    /// `seed` are 16 random bytes.
    #[new]
    fn new(seed: [u8; 16]) -> Self {
        Self { core: Mutex::new(delta::Computer::new(Seed::new(&seed))), size: AtomicUsize::new(0) }
    }

    #[getter]
    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |core| {
            core.reset();
            Ok(())
        })
    }

    /// Raw bytes and number of samples of the difference to the profile before; None for a baseline.
    fn difference<'py>(
        &self,
        py: Python<'py>,
        body: &[u8],
        limit: usize,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, usize)>> {
        let difference = self.run(py, |core| core.difference(body, limit))?;
        Ok(difference.map(|difference| (PyBytes::new(py, &difference.raw), difference.samples)))
    }
}

impl Computer {
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut delta::Computer) -> Result<T, Refusal> + Send,
    ) -> PyResult<T> {
        guarded(py, || {
            // A panic leaves the state as it was: it is replaced in the end only.
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut core);
            self.size.store(core.size(), Ordering::Relaxed);
            result
        })
    }
}

/// Bytes uncompressed, number of samples, whether it has a period type, whether it is one gzip member.
#[pyfunction]
fn inspect(py: Python<'_>, body: &[u8], limit: usize) -> PyResult<(usize, usize, bool, bool)> {
    let found = guarded(py, || check::inspect(body, limit))?;
    Ok((found.raw_bytes, found.samples, found.has_period_type, found.is_single_member))
}

/// Runs `work` without the GIL; a panic becomes an error that says whose bug it is.
fn guarded<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Refusal> + Send) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(refusal)) => Err(ProfileError::new_err((refusal.reason.name(), refusal.message.into_owned()))),
        Err(panic) => Err(PyRuntimeError::new_err(format!(
            "a bug in the native core, please report it: {}",
            said(&*panic)
        ))),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Computer>()?;
    module.add_function(wrap_pyfunction!(inspect, module)?)
}
