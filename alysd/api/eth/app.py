"""The Ethereum JSON-RPC of the embedded engine, whole: methods, HTTP and WebSocket on one port."""

import trio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute

from alysd.api.eth.accounts import AccountMethods
from alysd.api.eth.backend import EthBackend
from alysd.api.eth.blocks import BlockMethods
from alysd.api.eth.calls import CallMethods
from alysd.api.eth.feed import ChainFeed
from alysd.api.eth.fees import FeeMethods
from alysd.api.eth.filters import FilterMethods
from alysd.api.eth.identity import IdentityMethods
from alysd.api.eth.logs import LogMethods
from alysd.api.eth.transactions import TransactionMethods
from alysd.api.eth.websocket import EthSocket
from alysd.api.jsonrpc import SERVER_ERROR, Dispatcher, Method
from alysd.api.rpc_http import internal_error, rpc_endpoint
from alysd.errors import Refused
