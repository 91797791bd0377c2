//! The proxy behind the proxy-wasm ABI 0.2.1, as a [`Host`].
//!
//! Every status comes back as a value: a wrapper that panicked on one it does not expect would trap, and lose the worker's requests.

// Beside the exports in `abi`, the only file with unsafe code: pointers and lengths of the ABI, each taken from a live slice, and buffers that the
// host allocated through this module's allocator.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::ptr::{null, null_mut};

use crate::{
    headers,
    host::{Buffer, Host, Level, Map, Metric, Status},
};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_http_call(
        target: *const u8,
        target_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, delta: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_continue_stream(kind: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// The proxy that runs this module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proxy;

/// Takes over a buffer that the host filled.
fn taken(status: u32, data: *mut u8, size: usize) -> Result<Vec<u8>, Status> {
    Status::from_abi(status)?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host obtained `data` from `proxy_on_memory_allocate(size)`, which makes a boxed slice of exactly
    // `size` bytes, and hands it over with the call.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Path parts joined by NUL, as the ABI wants them.
fn property_path(path: &[&str]) -> Vec<u8> {
    path.join("\0").into_bytes()
}

impl Host for Proxy {
    fn now_nanos(&self) -> u64 {
        let mut time = 0;
        // SAFETY: `time` outlives the call.
        unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
        time
    }

    fn log(&self, level: Level, message: &str) {
        // SAFETY: the slice outlives the call.
        unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
    }

    fn header_map(&self, map: Map) -> Result<Vec<u8>, Status> {
        let (mut data, mut size) = (null_mut(), 0);
        // SAFETY: both out parameters outlive the call.
        let status =
            unsafe { proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) };
        taken(status, data, size)
    }

    fn set_header(&self, map: Map, name: &str, value: &[u8]) -> Result<(), Status> {
        // SAFETY: both slices outlive the call.
        Status::from_abi(unsafe {
            proxy_replace_header_map_value(
                map as u32,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn remove_header(&self, map: Map, name: &str) -> Result<(), Status> {
        // SAFETY: the slice outlives the call.
        Status::from_abi(unsafe {
            proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len())
        })
    }

    fn buffer(&self, buffer: Buffer, start: usize, len: usize) -> Result<Vec<u8>, Status> {
        let (mut data, mut size) = (null_mut(), 0);
        // SAFETY: both out parameters outlive the call.
        let status = unsafe {
            proxy_get_buffer_bytes(buffer as u32, start, len, &raw mut data, &raw mut size)
        };
        taken(status, data, size)
    }

    fn property(&self, path: &[&str]) -> Result<Vec<u8>, Status> {
        let path = property_path(path);
        let (mut data, mut size) = (null_mut(), 0);
        // SAFETY: path and out parameters outlive the call.
        let status =
            unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) };
        taken(status, data, size)
    }

    fn set_property(&self, path: &[&str], value: &[u8]) -> Result<(), Status> {
        let path = property_path(path);
        // SAFETY: both slices outlive the call.
        Status::from_abi(unsafe {
            proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len())
        })
    }

    fn shared_get(&self, key: &str) -> Result<(Vec<u8>, u32), Status> {
        let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
        // SAFETY: key and out parameters outlive the call.
        let status = unsafe {
            proxy_get_shared_data(
                key.as_ptr(),
                key.len(),
                &raw mut data,
                &raw mut size,
                &raw mut cas,
            )
        };
        Ok((taken(status, data, size)?, cas))
    }

    fn shared_set(&self, key: &str, value: &[u8], cas: Option<u32>) -> Result<(), Status> {
        // SAFETY: both slices outlive the call.
        Status::from_abi(unsafe {
            proxy_set_shared_data(
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                value.len(),
                cas.unwrap_or(0),
            )
        })
    }

    fn call(
        &self,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout_ms: u32,
    ) -> Result<u32, Status> {
        let headers = headers::serialize(headers);
        let trailers = headers::serialize(&[]);
        let mut token = 0;
        // SAFETY: all slices and the out parameter outlive the call.
        Status::from_abi(unsafe {
            proxy_http_call(
                target.as_ptr(),
                target.len(),
                headers.as_ptr(),
                headers.len(),
                body.as_ptr(),
                body.len(),
                trailers.as_ptr(),
                trailers.len(),
                timeout_ms,
                &raw mut token,
            )
        })?;
        Ok(token)
    }

    fn define_metric(&self, kind: Metric, name: &str) -> Result<u32, Status> {
        let mut id = 0;
        // SAFETY: name and out parameter outlive the call.
        Status::from_abi(unsafe {
            proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id)
        })?;
        Ok(id)
    }

    fn add_metric(&self, id: u32, delta: i64) -> Result<(), Status> {
        // SAFETY: no pointers.
        Status::from_abi(unsafe { proxy_increment_metric(id, delta) })
    }

    fn set_metric(&self, id: u32, value: u64) -> Result<(), Status> {
        // SAFETY: no pointers.
        Status::from_abi(unsafe { proxy_record_metric(id, value) })
    }

    fn set_tick_ms(&self, ms: u32) -> Result<(), Status> {
        // SAFETY: no pointers.
        Status::from_abi(unsafe { proxy_set_tick_period_milliseconds(ms) })
    }

    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &[u8]) -> Result<(), Status> {
        /// The answer has no gRPC status.
        const NO_GRPC_STATUS: i32 = -1;
        let headers = headers::serialize(headers);
        // SAFETY: all slices outlive the call; the absent details have length 0.
        Status::from_abi(unsafe {
            proxy_send_local_response(
                status,
                null(),
                0,
                body.as_ptr(),
                body.len(),
                headers.as_ptr(),
                headers.len(),
                NO_GRPC_STATUS,
            )
        })
    }

    fn resume(&self) -> Result<(), Status> {
        /// The request's half of a stream.
        const REQUEST: u32 = 0;
        // SAFETY: no pointers.
        Status::from_abi(unsafe { proxy_continue_stream(REQUEST) })
    }

    fn enter(&self, context: u32) -> Result<(), Status> {
        // SAFETY: no pointers.
        Status::from_abi(unsafe { proxy_set_effective_context(context) })
    }

    fn random_seed(&self) -> u64 {
        // Without entropy all workers share one seed: ties then spread by request alone.
        getrandom::u64().unwrap_or(0)
    }
}
