-- Registers the client that the runner names; with a redirect URI that nobody takes, this is the refusal.
require("load.request")

function init()
  local headers = { ["Content-Type"] = "application/json" }
  registration = wrk.format("POST", "/oauth2/register", headers, os.getenv("BENCHMARK_REGISTRATION"))
end

function request()
  return registration
end
