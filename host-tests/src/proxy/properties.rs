//! Properties of the stream, the plugin and the proxy.

use super::Proxy;
use super::hostcall::Hostcall;
use super::profile::Properties;
use super::status::{Answer, NOT_FOUND};

enum Value {
    Text(String),
    Integer(u64),
}

impl Proxy {
    /// `proxy_get_property`. Path parts are separated by NUL.
    pub fn property(&mut self, path: &[u8]) -> Answer<Vec<u8>> {
        self.intercept(Hostcall::GetProperty)?;
        let path = String::from_utf8_lossy(path).replace('\0', ".");
        if let Some(scripted) = self.scripted_properties.get(&path) {
            return Ok(scripted.clone());
        }
        let value = self.known_property(&path).ok_or(NOT_FOUND)?;
        Ok(match (value, self.profile.properties) {
            (Value::Text(text), _) => text.into_bytes(),
            (Value::Integer(n), Properties::Typed) => n.to_le_bytes().to_vec(),
            (Value::Integer(n), Properties::Text) => n.to_string().into_bytes(),
        })
    }

    /// `proxy_set_property`: filter state `wasm.<path>` in Envoy.
    pub fn set_property(&mut self, path: &[u8], value: &[u8]) -> Answer<()> {
        self.intercept(Hostcall::SetProperty)?;
        let name = String::from_utf8_lossy(path).replace('\0', ".");
        let key = (self.current.vm, self.current.context, name);
        self.filter_state.insert(key, value.to_vec());
        Ok(())
    }

    fn known_property(&self, path: &str) -> Option<Value> {
        let current = (self.current.vm, self.current.context);
        let text = self.profile.properties == Properties::Text;
        let root = match path {
            "plugin_name" | "plugin_root_id" => {
                let context = self.stream().map_or(self.current.context, |s| s.root);
                return self
                    .roots
                    .get(&(self.current.vm, context))
                    .map(|r| Value::Text(r.root_id.clone()));
            }
            "plugin_vm_id" => return Some(Value::Text("plimsoll".to_owned())),
            path => path,
        };
        let stream = self.stream()?;
        let header = |name: &str| stream.request.headers.text(name).map(Value::Text);
        match root {
            "request.path" => header(":path"),
            "request.method" => header(":method"),
            "request.host" => header(":authority"),
            "request.size" => Some(Value::Integer(stream.request.sent_body.len() as u64)),
            "connection.id" => Some(Value::Integer(u64::from(current.1))),
            "source.address" => Some(Value::Text("127.0.0.1:40000".to_owned())),
            "upstream.request_attempt_count" if !text => Some(Value::Integer(stream.attempts)),
            "upstream.address" => {
                let address = stream.upstream.clone()?;
                Some(Value::Text(match address.rsplit_once(':') {
                    Some((ip, _)) if text => ip.to_owned(),
                    _ => address,
                }))
            }
            "upstream.port" => {
                let port = stream.upstream.as_ref()?.rsplit_once(':')?.1.parse().ok()?;
                Some(Value::Integer(port))
            }
            "response.code" => stream.code.map(|code| Value::Integer(code.into())),
            "response.flags" if !text => Some(Value::Integer(stream.flags)),
            _ => None,
        }
    }
}
