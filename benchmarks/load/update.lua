-- Each registered client in turn sends its own entry back under a new name, so that every update changes the row.
local load = require("load.request")
local turn, name = 0, os.time() % 100000 * 10000

function init()
  clients = load.clients()
  for _, client in ipairs(clients) do
    client.headers["Content-Type"] = "application/json"
  end
end

function request()
  turn, name = turn % #clients + 1, name + 1
  local client = clients[turn]
  local body = client.body:gsub("Benchmark client", string.format("Client %09d", name), 1)
  return wrk.format("PUT", client.path, client.headers, body)
end
