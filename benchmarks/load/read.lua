-- Each registered client in turn reads its own entry.
local load = require("load.request")
local turn = 0

function init()
  requests = {}
  for _, client in ipairs(load.clients()) do
    table.insert(requests, wrk.format("GET", client.path, client.headers))
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
