//! Headers, bodies and flow of the stream that a hostcall works on.

use super::Proxy;
use super::headers::HeaderMap;
use super::hostcall::{Hostcall, Phase};
use super::status::{Answer, BAD_ARGUMENT, NOT_FOUND};
use super::stream::{Half, LocalResponse, Stream};

/// Numbers of the header maps.
mod map {
    pub(super) const REQUEST: u32 = 0;
    pub(super) const RESPONSE: u32 = 2;
    pub(super) const CALL_RESPONSE: u32 = 6;
    pub(super) const LAST: u32 = 7;
}

/// Numbers of the buffers.
mod buffer {
    pub(super) const REQUEST: u32 = 0;
    pub(super) const RESPONSE: u32 = 1;
    pub(super) const CALL_RESPONSE: u32 = 4;
    pub(super) const VM_CONFIGURATION: u32 = 6;
    pub(super) const PLUGIN_CONFIGURATION: u32 = 7;
    pub(super) const LAST: u32 = 8;
}

impl Proxy {
    /// Stream of the effective context.
    pub fn stream(&self) -> Option<&Stream> {
        self.streams.get(&(self.current.vm, self.current.context))
    }

    /// Stream of the effective context, to change.
    pub fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.streams
            .get_mut(&(self.current.vm, self.current.context))
    }

    fn writable(&self, half: &Half) -> bool {
        half.headers_visible || self.profile.headers_after_continue
    }

    fn readable(&self, half: &Half) -> bool {
        // The access log sees headers again that the filter let go.
        self.writable(half) || self.current.phase == Phase::Log
    }

    fn map(&self, map: u32) -> Option<&HeaderMap> {
        let half = match map {
            map::REQUEST => &self.stream()?.request,
            map::RESPONSE => &self.stream()?.response,
            map::CALL_RESPONSE => return self.call_response.as_ref().map(|r| &r.headers),
            _ => return None,
        };
        self.readable(half).then_some(&half.headers)
    }

    fn map_mut(&mut self, map: u32) -> Answer<&mut HeaderMap> {
        let stream = self.stream().ok_or(BAD_ARGUMENT)?;
        let half = match map {
            map::REQUEST => &stream.request,
            map::RESPONSE => &stream.response,
            _ => return Err(BAD_ARGUMENT),
        };
        if !self.writable(half) {
            return Err(BAD_ARGUMENT);
        }
        let stream = self.stream_mut().ok_or(BAD_ARGUMENT)?;
        Ok(match map {
            map::REQUEST => &mut stream.request.headers,
            _ => &mut stream.response.headers,
        })
    }

    /// `proxy_get_header_map_pairs`: an unreachable map reads as an empty one.
    pub fn header_map(&mut self, map: u32) -> Answer<Vec<u8>> {
        self.intercept(Hostcall::GetHeaders)?;
        if map > map::LAST {
            return Err(BAD_ARGUMENT);
        }
        Ok(match self.map(map) {
            Some(map) if !map.is_empty() => map.serialise(),
            _ => Vec::new(),
        })
    }

    /// `proxy_get_header_map_size`: bytes of names and values.
    pub fn header_map_size(&mut self, map: u32) -> Answer<u32> {
        self.intercept(Hostcall::GetHeadersSize)?;
        let size = self.map(map).map_or(0, HeaderMap::byte_size);
        u32::try_from(size).map_err(|_| BAD_ARGUMENT)
    }

    /// `proxy_get_header_map_value`.
    pub fn header(&mut self, map: u32, name: &str) -> Answer<Vec<u8>> {
        self.intercept(Hostcall::GetHeader)?;
        let map = self.map(map).ok_or(BAD_ARGUMENT)?;
        map.get(name).map(<[u8]>::to_vec).ok_or(NOT_FOUND)
    }

    /// `proxy_replace_header_map_value`.
    pub fn replace_header(&mut self, map: u32, name: &str, value: &[u8]) -> Answer<()> {
        self.intercept(Hostcall::ReplaceHeader)?;
        self.map_mut(map)?.replace(name, value);
        Ok(())
    }

    /// `proxy_add_header_map_value`.
    pub fn add_header(&mut self, map: u32, name: &str, value: &[u8]) -> Answer<()> {
        self.intercept(Hostcall::AddHeader)?;
        self.map_mut(map)?.add(name, value);
        Ok(())
    }

    /// `proxy_remove_header_map_value`.
    pub fn remove_header(&mut self, map: u32, name: &str) -> Answer<()> {
        self.intercept(Hostcall::RemoveHeader)?;
        self.map_mut(map)?.remove(name);
        Ok(())
    }

    /// `proxy_set_header_map_pairs`.
    pub fn set_header_map(&mut self, map: u32, pairs: &[u8]) -> Answer<()> {
        self.intercept(Hostcall::SetHeaders)?;
        let pairs = HeaderMap::parse(pairs)?;
        *self.map_mut(map)? = pairs;
        Ok(())
    }

    fn body(&self, buffer: u32) -> Option<&[u8]> {
        let half = match buffer {
            buffer::REQUEST => &self.stream()?.request,
            buffer::RESPONSE => &self.stream()?.response,
            buffer::CALL_RESPONSE => {
                return self.call_response.as_ref().map(|r| r.body.as_slice());
            }
            buffer::VM_CONFIGURATION => return Some(&self.vm_configuration),
            buffer::PLUGIN_CONFIGURATION => {
                let root = (self.current.vm, self.current.context);
                return self.roots.get(&root).map(|r| r.configuration.as_slice());
            }
            _ => return None,
        };
        half.body_visible.then_some(half.held.as_slice())
    }

    /// `proxy_get_buffer_bytes`: as many bytes as there are, none at all beyond the end or where there is no body.
    pub fn buffer(&mut self, buffer: u32, start: u32, len: u32) -> Answer<Vec<u8>> {
        self.intercept(Hostcall::GetBuffer)?;
        if buffer > buffer::LAST {
            return Err(BAD_ARGUMENT);
        }
        let body = self.body(buffer).unwrap_or_default();
        let from = (start as usize).min(body.len());
        let to = from.saturating_add(len as usize).min(body.len());
        Ok(body[from..to].to_vec())
    }

    /// `proxy_get_buffer_status`: bytes in the buffer.
    pub fn buffer_size(&mut self, buffer: u32) -> Answer<u32> {
        self.intercept(Hostcall::GetBufferStatus)?;
        let body = self.body(buffer).ok_or(NOT_FOUND)?;
        u32::try_from(body.len()).map_err(|_| BAD_ARGUMENT)
    }

    /// `proxy_set_buffer_bytes`: replaces a range.
    pub fn set_buffer(&mut self, buffer: u32, start: u32, len: u32, bytes: &[u8]) -> Answer<()> {
        self.intercept(Hostcall::SetBuffer)?;
        self.body(buffer).ok_or(NOT_FOUND)?;
        let stream = self.stream_mut().ok_or(BAD_ARGUMENT)?;
        let body = match buffer {
            buffer::REQUEST => &mut stream.request.held,
            buffer::RESPONSE => &mut stream.response.held,
            _ => return Err(BAD_ARGUMENT),
        };
        let from = (start as usize).min(body.len());
        let to = from.saturating_add(len as usize).min(body.len());
        body.splice(from..to, bytes.iter().copied());
        Ok(())
    }

    /// `proxy_send_local_response`. A second one for the same stream hangs Envoy (envoy#28826), so it is a breach here.
    pub fn local_response(&mut self, status: u32, headers: HeaderMap, body: &[u8]) -> Answer<()> {
        self.intercept(Hostcall::SendLocalResponse)?;
        let (vm, context) = (self.current.vm, self.current.context);
        let stream = self.stream_mut().ok_or(BAD_ARGUMENT)?;
        if stream.local.is_some() || stream.response.sent_headers.is_some() {
            self.breaches.push(format!(
                "vm {vm} context {context}: local response after a response"
            ));
            return Ok(());
        }
        stream.local = Some(LocalResponse {
            status,
            headers,
            body: body.to_vec(),
        });
        Ok(())
    }

    /// `proxy_continue_stream`: carried out when the VM call ends.
    pub fn continue_stream(&mut self, kind: u32) -> Answer<()> {
        self.intercept(Hostcall::ContinueStream)?;
        if self.current.phase == Phase::Tick && !self.profile.resume_from_tick {
            self.demanded_trap = Some("streams cannot be resumed from a tick on this host");
            return Err(BAD_ARGUMENT);
        }
        match kind {
            0 => self.stream_mut().ok_or(BAD_ARGUMENT)?.resume = true,
            1 => {}
            _ => return Err(BAD_ARGUMENT),
        }
        Ok(())
    }

    /// `proxy_set_effective_context`.
    pub fn set_effective_context(&mut self, context: u32) -> Answer<()> {
        self.intercept(Hostcall::SetEffectiveContext)?;
        let wanted = (self.current.vm, context);
        if !self.streams.contains_key(&wanted) && !self.roots.contains_key(&wanted) {
            return Err(BAD_ARGUMENT);
        }
        self.current.context = context;
        Ok(())
    }
}
