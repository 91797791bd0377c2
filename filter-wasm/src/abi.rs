//! The functions that a proxy calls: the exports of proxy-wasm ABI 0.2.1, around [`Root`], [`CollectorRoot`] and [`Stream`].
//!
//! They only delegate. The Rust SDK's dispatcher would do the same, but it panics on answers it does not expect, imports functions that
//! this module never calls, and is a fifth of the module; a host that lacks one of those imports would refuse to load it.
//!
//! A context is taken out of its table while it runs, so a proxy that calls back in from within a host call finds the table free and
//! the context busy, and nothing panics.

// An export under a fixed name is unsafe to the compiler, which cannot see that no other function bears it.
#![allow(unsafe_code)]

use alloc::{boxed::Box, vec::Vec};
use core::cell::{OnceCell, RefCell};

use crate::{
    collector::CollectorRoot,
    exchange::{ExchangeRoot, Question},
    gate,
    host::Action,
    hostcalls::Proxy,
    names, property,
    registry::Registry,
    root::Root,
    stream::Stream,
};

enum Role {
    Unconfigured,
    Filter(Root<Proxy>),
    Collector(Box<CollectorRoot<Proxy>>),
    Exchange(ExchangeRoot),
    Gate,
}

/// What a context of an HTTP stream is.
enum Http {
    /// A client's request.
    Stream(Box<Stream<Proxy>>),
    /// Another proxy's.
    Question(Question),
    /// One try of a request at a host.
    Try,
}

/// Contexts in the order of the numbers that the proxy gave them; `None` while one runs. Numbers grow, so a new context goes to the end,
/// and a sorted list does what a map would in a tenth of its code.
type Table<T> = RefCell<Vec<(u32, Option<T>)>>;

fn place<T>(table: &[(u32, Option<T>)], id: u32) -> Result<usize, usize> {
    table.binary_search_by_key(&id, |(id, _)| *id)
}

/// A value of the module's one thread.
struct Single<T>(T);

// SAFETY: a proxy runs a VM on one thread, and WebAssembly without threads has no other.
unsafe impl<T> Sync for Single<T> {}

/// One VM serves all configurations of its plugins one after another; requests in flight outlive them.
static REGISTRY: Single<OnceCell<Registry>> = Single(OnceCell::new());
static ROOTS: Single<Table<Role>> = Single(RefCell::new(Vec::new()));
static STREAMS: Single<Table<Http>> = Single(RefCell::new(Vec::new()));

/// Runs `work` on context `id` of `table`; the default when there is none, or when it is running already.
fn with<T, R: Default>(table: &Single<Table<T>>, id: u32, work: impl FnOnce(&mut T) -> R) -> R {
    let slot = |with: &mut dyn FnMut(&mut Option<T>)| {
        if let Ok(mut table) = table.0.try_borrow_mut()
            && let Ok(place) = place(&table, id)
            && let Some((_, slot)) = table.get_mut(place)
        {
            with(slot);
        }
    };
    let mut context = None;
    slot(&mut |slot| context = slot.take());
    let Some(mut running) = context else {
        return R::default();
    };
    let result = work(&mut running);
    let mut back = Some(running);
    // A context that was deleted while it ran is not put back, and ends here.
    slot(&mut |slot| *slot = back.take());
    result
}

fn insert<T>(table: &Single<Table<T>>, id: u32, context: T) {
    if let Ok(mut table) = table.0.try_borrow_mut() {
        match place(&table, id) {
            Ok(place) => {
                if let Some((_, slot)) = table.get_mut(place) {
                    *slot = Some(context);
                }
            }
            Err(place) => table.insert(place, (id, Some(context))),
        }
    }
}

/// Takes context `id` out for good. It is dropped by the caller, with no table borrowed.
fn remove<T>(table: &Single<Table<T>>, id: u32) -> Option<T> {
    let mut table = table.0.try_borrow_mut().ok()?;
    let place = place(&table, id).ok()?;
    table.remove(place).1
}

/// Runs `work` on a client's request; everything else only passes through.
fn stream(id: u32, work: impl FnOnce(&mut Stream<Proxy>) -> Action) -> u32 {
    with(&STREAMS, id, |context| match context {
        Http::Stream(stream) => work(stream) as u32,
        Http::Question(_) | Http::Try => Action::Continue as u32,
    })
}

/// Tells the streams that need not wait any longer.
fn release(root: &mut Root<Proxy>) {
    root.release(|context, turn| {
        with(&STREAMS, context, |context| {
            if let Http::Stream(stream) = context {
                stream.on_release(turn);
            }
        })
    });
}

// The compiler leaves comparisons of bytes to `memcmp` of wasi-libc; nothing else of it is linked.
#[link(name = "c")]
unsafe extern "C" {
    /// Runs static constructors; wasi-libc defines it.
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the proxy calls this once, before anything else, as WASI asks of reactors.
    unsafe { __wasm_call_ctors() };
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for the proxy to write to; [`crate::hostcalls`] takes it over.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, root_id: u32) {
    if root_id == 0 {
        insert(&ROOTS, id, Role::Unconfigured);
        return;
    }
    let mut made = None;
    with(&ROOTS, root_id, |role| {
        made = match role {
            Role::Filter(root) => Some(Http::Stream(Box::new(root.stream(id)))),
            Role::Exchange(root) => root.question().map(Http::Question),
            Role::Gate => Some(Http::Try),
            Role::Unconfigured | Role::Collector(_) => None,
        };
    });
    insert(
        &STREAMS,
        id,
        made.unwrap_or_else(|| Http::Stream(Box::new(Stream::unrouted(Proxy)))),
    );
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_id: u32, _size: usize) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, _size: usize) -> bool {
    with(&ROOTS, id, |role| {
        if matches!(role, Role::Unconfigured) {
            let name = property::root_id(&Proxy).unwrap_or_default();
            *role = if name == names::COLLECTOR_ROOT.as_bytes() {
                Role::Collector(Box::new(CollectorRoot::new(Proxy)))
            } else if name == names::EXCHANGE_ROOT.as_bytes() {
                Role::Exchange(ExchangeRoot::default())
            } else if name == names::GATE_ROOT.as_bytes() {
                Role::Gate
            } else {
                Role::Filter(Root::with_registry(
                    Proxy,
                    REGISTRY.0.get_or_init(Registry::default).clone(),
                ))
            };
        }
        match role {
            Role::Unconfigured => false,
            Role::Filter(root) => root.on_configure(),
            Role::Collector(root) => root.on_configure(),
            Role::Exchange(root) => root.on_configure(&Proxy),
            Role::Gate => true,
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(id: u32) {
    with(&ROOTS, id, |role| match role {
        Role::Unconfigured | Role::Exchange(_) | Role::Gate => {}
        Role::Filter(root) => {
            root.on_tick();
            release(root);
            root.tell();
        }
        Role::Collector(root) => root.on_tick(),
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    id: u32,
    token: u32,
    headers: usize,
    body_size: usize,
    _trailers: usize,
) {
    with(&ROOTS, id, |role| match role {
        Role::Unconfigured | Role::Exchange(_) | Role::Gate => {}
        Role::Filter(root) => root.on_call_response(token, headers, body_size),
        Role::Collector(root) => root.on_call_response(token, headers, body_size),
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, _count: usize, end: bool) -> u32 {
    with(&STREAMS, id, |context| match context {
        Http::Stream(stream) => stream.on_request_headers(end) as u32,
        Http::Question(question) => question.on_request_headers(&Proxy) as u32,
        Http::Try => Action::Continue as u32,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end: bool) -> u32 {
    stream(id, |stream| stream.on_request_body(size, end))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _count: usize) -> u32 {
    stream(id, Stream::on_request_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, _count: usize, end: bool) -> u32 {
    with(&STREAMS, id, |context| match context {
        Http::Stream(stream) => stream.on_response_headers(end) as u32,
        Http::Question(_) => Action::Continue as u32,
        Http::Try => gate::on_response_headers(&Proxy, end) as u32,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(id: u32, size: usize, end: bool) -> u32 {
    stream(id, |stream| stream.on_response_body(size, end))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(id: u32) {
    with(&STREAMS, id, |context| {
        if let Http::Stream(stream) = context {
            stream.on_log();
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(id: u32) -> bool {
    with(&ROOTS, id, |role| {
        if let Role::Filter(root) = role {
            root.on_done();
            release(root);
        }
    });
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    drop(remove(&STREAMS, id));
    drop(remove(&ROOTS, id));
}
