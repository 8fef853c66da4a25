# Installs the agent as a service of Windows. Run it in an elevated PowerShell, in the
# folder of the unpacked archive:
#
#   .\install.ps1 -Server sentinel.example:7443 -CaPin sha256:… -EnrolmentTokenFile enrolment.token
#
# Running it again replaces the program and keeps configuration, identity and data.
[CmdletBinding()]
param(
    [Parameter(Mandatory)] [string] $Server,
    [string] $CaPin = '',
    [string] $EnrolmentTokenFile = '',
    [string] $Folder = (Join-Path $env:ProgramFiles 'Sentinel')
)
$ErrorActionPreference = 'Stop'

$me = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'Run this as an administrator: it installs a service.'
}
$new = Join-Path $PSScriptRoot 'sentinel-agent.exe'
if (-not (Test-Path $new)) { throw "$new is missing: run this in the folder of the unpacked archive." }

New-Item -ItemType Directory -Force -Path $Folder | Out-Null
$agent = Join-Path $Folder 'sentinel-agent.exe'
if (Get-Service -Name SentinelAgent -ErrorAction SilentlyContinue) {
    & $agent stop
}
Copy-Item -Force $new $agent
Copy-Item -Force (Join-Path $PSScriptRoot 'sentinelctl.exe') (Join-Path $Folder 'sentinelctl.exe')

$arguments = @('install', '--server', $Server)
if ($CaPin) { $arguments += @('--ca-pin', $CaPin) }
if ($EnrolmentTokenFile) { $arguments += @('--enrolment-token-file', (Resolve-Path $EnrolmentTokenFile).Path) }
& $agent @arguments
if ($LASTEXITCODE -ne 0) { throw "sentinel-agent install ended with code $LASTEXITCODE." }
