"""Calls of the unmodified OpenStack SDK, one JSON object a line: {"op", "args", "body"} in, what came of it out.

Operations have the names that the cloud's SDK has for them. Arguments: the proxy (load_balancer of openstacksdk; elb
or vlb of otcextensions, versions 2 and 3), endpoint, token, project.
"""

import json
import sys

import openstack
from openstack.exceptions import HttpException
from otcextensions import sdk

face, endpoint, token, project = sys.argv[1:]
version_3 = f"{endpoint}/v3/{project}"
connection = openstack.connection.Connection(
    auth_type="admin_token",
    auth={"endpoint": endpoint, "token": token},
    region_name="host",
    load_balancer_endpoint_override=endpoint,
    elb_endpoint_override=f"{endpoint}/v2.0",
    elbv2_endpoint_override=f"{endpoint}/v2.0",
    vlb_endpoint_override=version_3,
    elbv3_endpoint_override=version_3,
)
if face != "load_balancer":
    sdk.register_single_service(connection, face, project_id=project)
proxy = getattr(connection, face)


def plain(resource):
    return resource.to_dict(original_names=True, computed=False)


def called(op, args, body):
    verb, _, kind = op.partition("_")
    pool = [args.pop("pool_id")] if kind in ("member", "members") else []
    given = next(iter(body.values())) if body else {}
    if verb == "list":
        query = {key: value[0] if isinstance(value, list) else value for key, value in args.items()}
        return 200, {kind: [plain(one) for one in getattr(proxy, kind)(*pool, **query)]}
    if verb == "create":
        return 201, {kind.replace("_", ""): plain(getattr(proxy, op)(*pool, **given))}
    (target,) = args.values()
    if verb == "delete":
        getattr(proxy, op)(target, *pool, ignore_missing=False)
        return 204, None
    if verb == "update":
        made = getattr(proxy, op)(target, *pool, **given)
    else:
        made = getattr(proxy, f"get_{kind}")(target, *pool)
    return 200, {kind.replace("_", ""): plain(made)}


for line in sys.stdin:
    call = json.loads(line)
    try:
        status, reply = called(call["op"], call.get("args", {}), call.get("body"))
        answer = {"status": status, "reply": reply}
    except HttpException as error:
        said = error.response.json()
        neutron = said.get("NeutronError", {})
        answer = {
            "status": error.status_code,
            "code": said.get("error_code", neutron.get("type")),
            # Of version 2, what the SDK itself makes of the answer; it does not read errors of version 3.
            "message": said.get("error_msg") or error.details,
            "request_id": error.response.headers.get("X-Request-Id"),
        }
    print(json.dumps(answer, default=str), flush=True)
